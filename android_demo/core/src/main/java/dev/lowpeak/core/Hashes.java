package dev.lowpeak.core;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** SHA-256 in lower-case hexadecimal digits. */
public final class Hashes {
    private Hashes() {}

    /** Is told how many bytes were read so far. */
    public interface Progress {
        void read(long bytes);
    }

    public static String sha256(String text) {
        return hex(digest().digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    public static String sha256(File file) throws IOException {
        return sha256(file, bytes -> {});
    }

    public static String sha256(File file, Progress progress) throws IOException {
        MessageDigest digest = digest();
        byte[] piece = new byte[1 << 16];
        long total = 0;
        try (InputStream stream = new FileInputStream(file)) {
            for (int got = stream.read(piece); got >= 0; got = stream.read(piece)) {
                digest.update(piece, 0, got);
                progress.read(total += got);
            }
        }
        return hex(digest.digest());
    }

    static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError("every Java and every Android has SHA-256", error);
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder made = new StringBuilder();
        for (byte each : bytes) {
            made.append(Character.forDigit(each >> 4 & 15, 16)).append(Character.forDigit(each & 15, 16));
        }
        return made.toString();
    }
}
