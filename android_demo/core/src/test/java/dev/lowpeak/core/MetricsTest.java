package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class MetricsTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static StepMetrics step(long step) throws JsonException {
        return StepMetrics.parse("{\"step\":" + step + ",\"loss\":2.5,\"seconds\":1.5,\"tokens_per_second\":null,"
                + "\"rss_bytes\":10,\"budget_bytes\":20,\"examples\":{\"seen\":3}}");
    }

    @Test
    public void linesComeBackWithAllTheirKeys() throws IOException, JsonException {
        File file = new File(folder.getRoot(), "metrics.ndjson");
        for (int i = 0; i < 2; i++) {
            try (Metrics metrics = Metrics.append(file)) {
                metrics.write(step(i));
            }
        }
        List<StepMetrics> read = Metrics.read(file);
        assertEquals(2, read.size());
        assertEquals(step(1).toLine(), read.get(1).toLine());
        assertEquals(10, read.get(1).residentBytes(), 0);
        assertTrue(Double.isNaN(read.get(1).tokensPerSecond()) && Double.isNaN(read.get(1).peakBytes()));
    }

    @Test
    public void halfALineOfAKilledAppIsPassedOverAndCutOff() throws IOException, JsonException {
        File file = new File(folder.getRoot(), "metrics.ndjson");
        Files.writeText(file, step(0).toLine() + step(1).toLine().substring(0, 30));
        assertEquals(1, Metrics.read(file).size());
        try (Metrics metrics = Metrics.append(file)) {
            metrics.write(step(1));
        }
        assertEquals(step(0).toLine() + step(1).toLine(), Files.readText(file));
    }

    @Test
    public void aLineThatIsNoStepIsNamed() throws IOException, JsonException {
        File file = new File(folder.getRoot(), "metrics.ndjson");
        Files.writeText(file, step(0).toLine() + "{\"step\":\"1\"}\n");
        assertEquals(file + ", line 2: the line.step should be an integer, it is a text",
                assertThrows(IOException.class, () -> Metrics.read(file)).getMessage());
    }

    @Test
    public void aFullDiskIsSaid() throws IOException, JsonException {
        try (Metrics metrics = Metrics.append(new File("/dev/full"))) {
            assertEquals("the metrics cannot be written to /dev/full: No space left on device",
                    assertThrows(IOException.class, () -> metrics.write(step(0))).getMessage());
        }
    }
}
