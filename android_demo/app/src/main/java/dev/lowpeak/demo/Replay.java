package dev.lowpeak.demo;

import android.os.Handler;
import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.StepMetrics;
import java.util.List;

/** A recorded metrics file, step by step on the charts, in about ten seconds. */
final class Replay {
    private static final long FRAME_MILLIS = 50;
    private static final int FRAMES = 200;

    private final Handler handler;
    private final List<StepMetrics> steps;
    private final Runnable changed;
    private final Runnable frame = this::frame;
    private final ChartModel charts;
    private int shown;

    /** {@code changed}: called after each frame. */
    Replay(Handler handler, List<StepMetrics> steps, Runnable changed) {
        this.handler = handler;
        this.steps = steps;
        this.changed = changed;
        charts = new ChartModel(steps.isEmpty() ? 0 : steps.get(steps.size() - 1).step() + 1);
    }

    void start() {
        handler.post(frame);
    }

    void end() {
        handler.removeCallbacks(frame);
    }

    ChartModel charts() {
        return charts;
    }

    private void frame() {
        int until = Math.min(steps.size(), shown + Math.max(1, steps.size() / FRAMES));
        for (; shown < until; shown++) {
            charts.add(steps.get(shown));
        }
        changed.run();
        if (shown < steps.size()) {
            handler.postDelayed(frame, FRAME_MILLIS);
        }
    }
}
