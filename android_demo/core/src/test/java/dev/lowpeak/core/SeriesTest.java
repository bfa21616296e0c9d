package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class SeriesTest {
    @Test
    public void keepsAllUntilItIsFull() {
        Series series = new Series(4, Series.Merge.MEAN);
        for (int i = 0; i < 4; i++) {
            series.add(i, i);
        }
        assertEquals(4, series.size());
        assertEquals(1, series.perPoint());
        series.add(4, 4);
        assertEquals("0.5 2.5 4.0", values(series));
        assertEquals(2, series.perPoint());
        series.add(5, 6);
        assertEquals("0.5 2.5 5.0", values(series));
        assertEquals(6, series.last(), 0);
    }

    @Test
    public void aLongRunStaysWithinItsMemoryAndItsMean() {
        Series mean = new Series(100, Series.Merge.MEAN);
        Series most = new Series(100, Series.Merge.MAX);
        for (int i = 0; i < 1 << 16; i++) {
            mean.add(i, i);
            most.add(i, i);
        }
        assertTrue(mean.size() <= 100 && mean.size() >= 50);
        double sum = 0;
        for (int i = 0; i < mean.size(); i++) {
            sum += mean.value(i);
            assertTrue(mean.step(i) >= (i == 0 ? 0 : mean.step(i - 1) + 1));
        }
        assertEquals(((1 << 16) - 1) / 2.0, sum / mean.size(), 1e-6);
        assertEquals((1 << 16) - 1, most.max(), 0);
        assertEquals(most.perPoint() - 1, most.value(0), 0);
    }

    @Test
    public void aRunThatWentBackLosesWhatIsMadeAgain() {
        Series series = new Series(10, Series.Merge.MEAN);
        for (int i = 0; i < 6; i++) {
            series.add(i, i);
        }
        series.add(3, 30);
        assertEquals("0.0 1.0 2.0 30.0", values(series));
    }

    @Test
    public void whatWasNotMeasuredLeavesNoPoint() {
        Series series = new Series(3, Series.Merge.MAX);
        series.add(0, Double.NaN);
        assertEquals(0, series.size());
        assertTrue(Double.isNaN(series.last()));
    }

    private static String values(Series series) {
        StringBuilder made = new StringBuilder();
        for (int i = 0; i < series.size(); i++) {
            made.append(i == 0 ? "" : " ").append(series.value(i));
        }
        return made.toString();
    }
}
