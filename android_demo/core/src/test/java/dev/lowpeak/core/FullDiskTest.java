package dev.lowpeak.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.File;
import java.io.IOException;
import java.util.Collections;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** In a process that may write files of 256 kB at most: see tests/android/test_core.py. */
public class FullDiskTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void anExampleThatDoesNotFitLeavesTheOthers() throws IOException {
        File file = new File(folder.getRoot(), "examples.jsonl");
        Examples examples = Examples.open(file);
        examples.add(Example.chat("Hi", "Hello"));
        String large = String.join("", Collections.nCopies(300_000, "x"));
        assertThrows(IOException.class, () -> examples.add(Example.chat("Hi", large)));
        assertEquals(1, examples.size());
        assertEquals(1, Examples.open(file).size());
        assertArrayEquals(new String[] {"examples.jsonl"}, folder.getRoot().list());
    }
}
