package dev.lowpeak.demo;

import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.JsonException;
import dev.lowpeak.core.Metrics;
import dev.lowpeak.core.RunnerEvent;
import dev.lowpeak.core.StepMetrics;
import java.io.IOException;

/** A run's steps: those of its metrics file and the ones that are made, on charts and in the file. */
final class RunRecord {
    private final Run run;
    private final ChartModel charts;
    private Metrics metrics;

    private RunRecord(Run run) {
        this.run = run;
        charts = new ChartModel(run == null ? 0 : run.totalSteps());
    }

    static RunRecord empty() {
        return new RunRecord(null);
    }

    /** With the steps that it has; what is wrong with its file is logged, and the charts begin anew. */
    static RunRecord of(Run run, RunLog log) {
        RunRecord made = new RunRecord(run);
        made.charts.plan(run.info());
        try {
            if (run.folder().metrics().isFile()) {
                Metrics.read(run.folder().metrics()).forEach(made.charts::add);
            }
        } catch (IOException error) {
            log.add(error.getMessage());
        }
        return made;
    }

    ChartModel charts() {
        return charts;
    }

    /** Steps are written from now on. Throws IOException. */
    void open() throws IOException {
        metrics = Metrics.append(run.folder().metrics());
    }

    boolean isOpen() {
        return metrics != null;
    }

    /** Of an event `step`. Throws where it lacks its fields, or cannot be written; it is on the charts then. */
    void add(RunnerEvent event) throws JsonException, IOException {
        StepMetrics step = StepMetrics.of(event, run.info());
        charts.add(step);
        metrics.write(step);
    }

    void close(RunLog log) {
        if (metrics != null) {
            try {
                metrics.close();
            } catch (IOException error) {
                log.add(error.getMessage());
            }
            metrics = null;
        }
    }
}
