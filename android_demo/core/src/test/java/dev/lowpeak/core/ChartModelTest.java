package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class ChartModelTest {
    private static StepMetrics step(long step, double loss, double seconds) throws JsonException {
        return StepMetrics.parse("{\"step\":" + step + ",\"loss\":" + loss + ",\"seconds\":" + seconds
                + ",\"tokens_per_second\":" + 512 / seconds + ",\"rss_bytes\":170000000,\"peak_rss_bytes\":175000000,"
                + "\"planned_peak_bytes\":179900000,\"budget_bytes\":180000000}");
    }

    @Test
    public void saysAllThatTheChartsShow() throws JsonException {
        ChartModel model = new ChartModel(100);
        assertEquals("No step was made yet.", model.describe());
        model.add(step(0, 4, 2));
        model.add(step(1, 3, 2));
        assertEquals("Step 2 of 100. Loss 3.000, on average 3.474; it began with 4.000. 256 tokens a second. About 3 min "
                + "16 s left. Memory 170.0 MB, at most 175.0 MB. Predicted were at most 179.9 MB, the budget is 180.0 MB.",
                model.describe());
    }

    @Test
    public void theTimeLeftFollowsTheSpeed() throws JsonException {
        ChartModel model = new ChartModel(1000);
        assertTrue(Double.isNaN(model.secondsLeft()));
        for (int i = 0; i < 100; i++) {
            model.add(step(i, 2, i < 50 ? 1 : 3));
        }
        assertEquals(3 * 900, model.secondsLeft(), 1);
        assertEquals(512 / 3.0, model.tokensPerSecond(), 1);
        assertTrue(Double.isNaN(new ChartModel(0).secondsLeft()));
    }

    @Test
    public void aContinuedRunIsDrawnOnce() throws JsonException {
        ChartModel model = new ChartModel(10);
        for (long each : new long[] {0, 1, 2, 3, 2, 3, 4}) {
            model.add(step(each, each, 1));
        }
        assertEquals(5, model.loss().size());
        assertEquals(5, model.step());
    }
}
