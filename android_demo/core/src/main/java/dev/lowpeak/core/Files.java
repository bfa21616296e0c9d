package dev.lowpeak.core;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** Whole texts in files. */
public final class Files {
    private Files() {}

    /** Throws IOException, also for what is not UTF-8. */
    public static String readText(File file) throws IOException {
        byte[] bytes = java.nio.file.Files.readAllBytes(file.toPath());
        try {
            return StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT).decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException error) {
            throw new IOException(file + " is not UTF-8", error);
        }
    }

    /** The file is the old or the new one, whole, whatever happens. Throws IOException, such as for a full disk. */
    public static void writeText(File file, String text) throws IOException {
        File temporary = new File(file.getParentFile(), "." + file.getName() + ".tmp");
        try {
            // Whatever lies there is removed, never written through: a link may lead anywhere.
            java.nio.file.Files.deleteIfExists(temporary.toPath());
            try (FileChannel channel = FileChannel.open(temporary.toPath(), StandardOpenOption.CREATE_NEW,
                    StandardOpenOption.WRITE)) {
                ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
                channel.force(true);
            }
            java.nio.file.Files.move(temporary.toPath(), file.toPath(), StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException error) {
            temporary.delete();
            throw error;
        }
    }
}
