package dev.lowpeak.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class RunFolderTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void theJobComesBackAndReplacesTheOneBefore() throws IOException {
        RunFolder run = new RunFolder(folder.getRoot());
        for (long steps : new long[] {10, 20}) {
            run.writeJob(TrainJob.builder().artifact("../artifact").data("x").totalSteps(steps).build());
            assertEquals(steps, run.readJob().totalSteps());
        }
        assertArrayEquals(new String[] {RunFolder.JOB}, folder.getRoot().list());
    }

    @Test
    public void aJobThatCannotBeReadIsNamed() throws IOException {
        RunFolder run = new RunFolder(folder.getRoot());
        assertThrows(IOException.class, run::readJob);
        Files.writeText(run.job(), "{\"artifact\":\"a\"}");
        assertEquals(run.job() + ": the job should have the field checkpoint",
                assertThrows(IOException.class, run::readJob).getMessage());
        java.nio.file.Files.write(run.job().toPath(), "\u00e4".getBytes(StandardCharsets.ISO_8859_1));
        assertEquals(run.job() + " is not UTF-8", assertThrows(IOException.class, run::readJob).getMessage());
    }

    @Test
    public void batchesAreRemovedAlone() throws IOException {
        RunFolder run = new RunFolder(folder.getRoot());
        assertTrue(run.batches().mkdir());
        Files.writeText(new File(run.batches(), "0-10.safetensors"), "x");
        Files.writeText(run.metrics(), "");
        run.removeBatches();
        run.removeBatches();
        assertFalse(run.batches().exists());
        assertTrue(run.metrics().exists());
    }

    @Test
    public void batchesAreThereWholeOrNotAtAll() throws IOException {
        RunFolder run = new RunFolder(folder.getRoot());
        assertThrows(IOException.class, run::keepBatches);
        assertTrue(run.partialBatches().mkdir());
        Files.writeText(new File(run.partialBatches(), "0-10.safetensors"), "x");
        assertFalse(run.batches().exists());
        run.keepBatches();
        assertFalse(run.partialBatches().exists());
        assertArrayEquals(new String[] {"0-10.safetensors"}, run.batches().list());
        // Of an encoding, or a removal, that was cut off.
        assertTrue(run.partialBatches().mkdir());
        Files.writeText(new File(run.partialBatches(), ".10-20.safetensors.tmp"), "x");
        run.removeBatches();
        assertArrayEquals(new String[0], folder.getRoot().list());
    }

    @Test
    public void hashesAreThoseOfSha256sum() throws IOException {
        String expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assertEquals(expected, Hashes.sha256("abc"));
        File file = folder.newFile();
        Files.writeText(file, "abc");
        assertEquals(expected, Hashes.sha256(file));
    }
}
