package dev.lowpeak.core;

import java.util.LinkedHashMap;
import java.util.Map;

/** What is known of one step: a line of `--metrics`. Bytes and seconds; NaN where it was not measured. */
public final class StepMetrics {
    final Map<String, Object> fields;

    private StepMetrics(Map<String, Object> fields) {
        this.fields = fields;
    }

    /** Of a runner's event `step`, under the artifact's plan. Throws JsonException for one without its fields. */
    public static StepMetrics of(RunnerEvent event, BundleInfo artifact) throws JsonException {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("step", event.integer("step"));
        made.put("loss", event.number("loss"));
        made.put("seconds", event.number("seconds"));
        made.put("tokens_per_second", number(event, "tokens_per_second"));
        made.put("rss_bytes", bytes(event, "rss_bytes"));
        made.put("anonymous_bytes", bytes(event, "anonymous_bytes"));
        made.put("peak_rss_bytes", bytes(event, "peak_rss_bytes"));
        made.put("peak_anonymous_bytes", bytes(event, "peak_anonymous_bytes"));
        // All that a native process holds is bounded by the budget.
        made.put("peak_held_bytes", bytes(event, "peak_rss_bytes"));
        made.put("planned_peak_bytes", artifact.plannedPeakBytes());
        made.put("planned_anonymous_bytes", artifact.plannedAnonymousBytes());
        made.put("budget_bytes", artifact.budgetBytes());
        made.put("examples", null);
        return new StepMetrics(made);
    }

    /** Of a line of a metrics file. Throws JsonException. */
    public static StepMetrics parse(String line) throws JsonException {
        JsonObject object = JsonObject.of(Json.parse(line), "the line");
        object.integer("step");
        object.number("loss");
        object.number("seconds");
        return new StepMetrics(object.map());
    }

    /** From 0. */
    public long step() {
        return (Long) fields.get("step");
    }

    public double loss() {
        return value("loss");
    }

    public double seconds() {
        return value("seconds");
    }

    public double tokensPerSecond() {
        return value("tokens_per_second");
    }

    /** As the step ends. */
    public double residentBytes() {
        return value("rss_bytes");
    }

    /** The most of the process until now. */
    public double peakBytes() {
        return value("peak_rss_bytes");
    }

    public double plannedPeakBytes() {
        return value("planned_peak_bytes");
    }

    public double budgetBytes() {
        return value("budget_bytes");
    }

    String toLine() {
        return Json.write(fields) + "\n";
    }

    private double value(String name) {
        Object value = fields.get(name);
        return value instanceof Number ? ((Number) value).doubleValue() : Double.NaN;
    }

    private static Double number(RunnerEvent event, String name) throws JsonException {
        return event.has(name) ? (Double) event.number(name) : null;
    }

    private static Long bytes(RunnerEvent event, String name) throws JsonException {
        return event.has(name) ? (Long) event.integer(name) : null;
    }
}
