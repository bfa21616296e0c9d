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

    @Test
    public void whatIsNoCheckpointIsRefused() throws IOException {
        assertTrue(problem(new byte[3]).endsWith("is no checkpoint: it has only 3 bytes"));
        assertTrue(problem(new byte[] {-1, -1, -1, -1, -1, -1, -1, 127, 0}).contains("its header has "));
        assertTrue(problem(withHeader("{}")).contains("should have the field __metadata__"));
        assertTrue(problem(withHeader("{\"__metadata__\":{\"format\":\"pt\"}}")).contains("of another version: pt"));
        assertTrue(problem(withHeader("{\"__metadata__\":{\"format\":\"lowpeak-checkpoint-2\",\"progress\":\"{}\"}}"))
                .contains("is a damaged checkpoint: progress should have the field artifact"));
    }

    @Test
    public void withoutOneNoStepIsStored() throws IOException {
        assertEquals(0, new RunFolder(new File(folder.getRoot(), "nothing")).storedStep());
    }
}
