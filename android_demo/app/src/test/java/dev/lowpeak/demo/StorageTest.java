package dev.lowpeak.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public final class StorageTest {
    @Rule
    public final TemporaryFolder temporary = new TemporaryFolder();

    private Storage storage;

    @Before
    public void make() {
        storage = new Storage(temporary.getRoot());
    }

    @Test
    public void namesOfOtherProgramsStayInside() throws IOException {
        for (String name : Arrays.asList("", ".", "..", "../x", "a/b", "/etc", "a\nb", null)) {
            try {
                storage.run(name);
                fail("it took " + name);
            } catch (IOException error) {
                assertTrue(error.getMessage(), error.getMessage().contains("is no name of a folder"));
            }
        }
        assertEquals(new File(storage.runs(), "it's $HOME"), storage.run("it's $HOME"));
    }

    @Test
    public void newRunsHaveNamesThatAreFree() throws IOException {
        assertEquals("run-1", storage.newRunName());
        Storage.made(storage.run("run-1"));
        assertEquals("run-2", storage.newRunName());
    }

    @Test
    public void onlyFoldersWithTheFileAreListed() throws IOException {
        Storage.made(storage.run("empty"));
        Files.write(new File(Storage.made(storage.run("full")), "job.json").toPath(), new byte[0]);
        assertEquals(Arrays.asList("full"), Storage.names(storage.runs(), "job.json"));
        assertTrue(Storage.names(storage.artifacts(), "manifest.json").isEmpty());
    }

    @Test
    public void linksAreRemovedAndNotFollowed() throws IOException {
        File kept = temporary.newFile("kept");
        File folder = Storage.made(storage.run("linked"));
        Files.createSymbolicLink(new File(folder, "file").toPath(), kept.toPath());
        Files.createSymbolicLink(new File(folder, "folder").toPath(), temporary.getRoot().toPath());
        Storage.remove(folder);
        assertFalse(folder.exists());
        assertTrue(kept.exists());
    }

    @Test
    public void theMarkerNamesTheRunUntilItIsCleared() throws IOException {
        RunMarker marker = new RunMarker(storage.running());
        assertNull(marker.run());
        marker.set("it's a run");
        assertEquals("it's a run", new RunMarker(storage.running()).run());
        marker.clear();
        assertNull(marker.run());
        Files.write(storage.running().toPath(), new byte[] {'{'});
        assertNull("half a file names none", marker.run());
        assertFalse(storage.running().exists());
    }

    @Test
    public void theLogKeepsTheNewestFirst() {
        RunLog log = new RunLog();
        for (int i = 0; i < 500; i++) {
            log.add("line " + i);
        }
        String[] lines = log.text().split("\n");
        assertTrue(lines[0], lines[0].endsWith("line 499"));
        assertEquals(200, lines.length);
    }
}
