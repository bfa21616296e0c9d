package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Of files that are none; RealRunTest reads those of a runner. */
public class CheckpointTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private String problem(byte[] content) throws IOException {
        RunFolder run = new RunFolder(folder.getRoot());
        java.nio.file.Files.write(run.checkpoint().toPath(), content);
        return assertThrows(IOException.class, run::storedStep).getMessage();
    }

    private static byte[] withHeader(String header) throws IOException {
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        byte[] bytes = header.getBytes(StandardCharsets.UTF_8);
        made.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(bytes.length).array());
        made.write(bytes);
        return made.toByteArray();
    }

    private static String beginning(String checksum, String format) {
        return "{\"__metadata__\":{\"checksum\":\"" + checksum + "\",\"format\":\"" + format + "\",";
    }

    /** A whole one, without tensors. */
    private static byte[] whole(long step) throws IOException {
        String rest = "\"progress\":\"{\\\"artifact\\\":\\\"a\\\",\\\"step\\\":" + step + ",\\\"seed\\\":1,"
                + "\\\"fingerprint\\\":\\\"f\\\",\\\"options\\\":{},\\\"data\\\":\\\"d\\\",\\\"position\\\":7}\"}}";
        String zeros = "0".repeat(64);
        byte[] unsigned = withHeader(beginning(zeros, "lowpeak-checkpoint-4") + rest);
        String checksum = Hashes.hex(Hashes.digest().digest(unsigned));
        return withHeader(beginning(checksum, "lowpeak-checkpoint-4") + rest);
    }

    @Test
    public void whatIsNoCheckpointIsRefused() throws IOException {
        String zeros = "0".repeat(64);
        assertTrue(problem(new byte[3]).endsWith("is no checkpoint: it has only 3 bytes"));
        assertTrue(problem(new byte[] {-1, -1, -1, -1, -1, -1, -1, 127, 0}).contains("its header has "));
        assertTrue(problem(withHeader(" ".repeat(200))).contains("is damaged, or a checkpoint of another version"));
        assertTrue(problem(withHeader(beginning(zeros, "pt") + "\"progress\":\"{}\"}}"))
                .contains("of another version: pt"));
        assertTrue(problem(withHeader(beginning(zeros, "lowpeak-checkpoint-4") + "\"progress\":\"{}\"}}"))
                .contains("is a damaged checkpoint: progress should have the field artifact"));
    }

    @Test
    public void everyByteCounts() throws IOException {
        RunFolder run = new RunFolder(folder.getRoot());
        java.nio.file.Files.write(new File(folder.getRoot(), RunFolder.PREVIOUS_CHECKPOINT).toPath(), whole(50));
        byte[] newest = whole(100);
        java.nio.file.Files.write(run.checkpoint().toPath(), newest);
        assertEquals(100, run.storedStep());
        assertEquals(7, run.newestCheckpoint().position());
        for (int i = 0; i < newest.length; i++) {
            byte[] damaged = newest.clone();
            damaged[i] ^= (byte) (1 << i % 8);
            java.nio.file.Files.write(run.checkpoint().toPath(), damaged);
            assertEquals("byte " + i, 50, run.storedStep());
        }
        assertTrue(run.checkpoint().delete());
        assertEquals(50, run.storedStep());
        assertTrue(run.hasCheckpoint());
    }

    @Test
    public void withoutOneNoStepIsStored() throws IOException {
        assertEquals(0, new RunFolder(new File(folder.getRoot(), "nothing")).storedStep());
    }
}
