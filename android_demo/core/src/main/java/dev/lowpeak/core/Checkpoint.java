package dev.lowpeak.core;

import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.List;

/**
 * Where a run is, by its checkpoint: a safetensors file with a checksum of all its bytes.
 *
 * <p>The checksum is the SHA-256 of the file as it is with zeros in place of the checksum's own digits.
 */
public final class Checkpoint {
    /** The last one first. The one before has its options in other words, which nothing here reads. */
    private static final List<String> FORMATS =
            Arrays.asList("lowpeak-checkpoint-4", "lowpeak-checkpoint-3");
    private static final byte[] START =
            "{\"__metadata__\":{\"checksum\":\"".getBytes(StandardCharsets.UTF_8);
    private static final int LENGTH_BYTES = 8;
    private static final int DIGITS = 64;
    /** Of safetensors. */
    private static final long MOST_HEADER_BYTES = 100_000_000;

    private final File file;
    private final String artifact;
    private final long step;
    private final long seed;
    private final String data;
    private final long position;

    private Checkpoint(File file, JsonObject progress) throws JsonException {
        this.file = file;
        artifact = progress.text("artifact");
        step = progress.integer("step");
        seed = progress.integer("seed");
        data = progress.text("data");
        position = progress.integer("position");
    }

    /** By its header alone: damage after it is not seen. Throws IOException when it is no checkpoint or damaged. */
    static Checkpoint readHeader(File file) throws IOException {
        try (DataInputStream stream = new DataInputStream(new FileInputStream(file))) {
            return of(file, header(file, stream));
        }
    }

    /** Reads every byte once. Throws IOException when the file is no checkpoint or damaged. */
    public static Checkpoint read(File file) throws IOException {
        try (DataInputStream stream = new DataInputStream(new FileInputStream(file))) {
            byte[] header = header(file, stream);
            MessageDigest digest = Hashes.digest();
            byte[] zeroed = header.clone();
            Arrays.fill(zeroed, START.length, START.length + DIGITS, (byte) '0');
            digest.update(ByteBuffer.allocate(LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(0, header.length));
            digest.update(zeroed);
            byte[] piece = new byte[1 << 16];
            for (int got = stream.read(piece); got >= 0; got = stream.read(piece)) {
                digest.update(piece, 0, got);
            }
            String told = new String(header, START.length, DIGITS, StandardCharsets.UTF_8);
            if (!told.equals(Hashes.hex(digest.digest()))) {
                throw new IOException(file + " is a damaged checkpoint: its bytes do not give its checksum");
            }
            return of(file, header);
        }
    }

    private static byte[] header(File file, DataInputStream stream) throws IOException {
        try {
            long length = Long.reverseBytes(stream.readLong());
            if (length < START.length + DIGITS || length > Math.min(MOST_HEADER_BYTES, file.length() - LENGTH_BYTES)) {
                throw new IOException(file + " is no checkpoint: its header has " + length + " bytes");
            }
            byte[] header = new byte[(int) length];
            stream.readFully(header);
            if (!Arrays.equals(Arrays.copyOf(header, START.length), START)) {
                throw new IOException(file + " is damaged, or a checkpoint of another version");
            }
            return header;
        } catch (java.io.EOFException error) {
            throw new IOException(file + " is no checkpoint: it has only " + file.length() + " bytes", error);
        }
    }

    private static Checkpoint of(File file, byte[] header) throws IOException {
        try {
            JsonObject metadata = JsonObject
                    .of(Json.parse(new String(header, StandardCharsets.UTF_8)), "the header")
                    .object("__metadata__");
            if (!FORMATS.contains(metadata.text("format"))) {
                throw new IOException(file + " is a checkpoint of another version: " + metadata.text("format"));
            }
            return new Checkpoint(file, JsonObject.of(Json.parse(metadata.text("progress")), "progress"));
        } catch (JsonException error) {
            throw new IOException(file + " is a damaged checkpoint: " + error.getMessage(), error);
        }
    }

    /** Where it lies. */
    public File file() {
        return file;
    }

    /** {@link BundleInfo#id} of the artifact that is trained. */
    public String artifact() {
        return artifact;
    }

    /** Updates made. */
    public long step() {
        return step;
    }

    public long seed() {
        return seed;
    }

    /** SHA-256 of what is trained on. */
    public String data() {
        return data;
    }

    /** Where the last step ended in the order of the data. */
    public long position() {
        return position;
    }
}
