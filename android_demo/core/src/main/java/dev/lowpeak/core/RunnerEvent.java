package dev.lowpeak.core;

/** One line of what lowpeak-runner tells: a JSON object whose {@code event} names the kind. */
public final class RunnerEvent {
    public static final String READY = "ready";
    public static final String STEP = "step";
    public static final String DONE = "done";
    public static final String STOPPED = "stopped";
    public static final String ERROR = "error";
    public static final String NOTE = "note";
    public static final String ENCODED = "encoded";
    public static final String EVALUATED = "evaluated";
    public static final String TOKEN = "token";
    public static final String GENERATED = "generated";

    private final String kind;
    private final JsonObject fields;

    private RunnerEvent(String kind, JsonObject fields) {
        this.kind = kind;
        this.fields = fields;
    }

    /** Throws for what is no event. Kinds and fields that are not known here are kept. */
    public static RunnerEvent parse(String line) throws JsonException {
        JsonObject fields = JsonObject.of(Json.parse(line), "the event");
        return new RunnerEvent(fields.text("event"), fields);
    }

    public String kind() {
        return kind;
    }

    /** Whether it is the last that a runner tells. */
    public boolean isLast() {
        return is(DONE) || is(STOPPED) || is(ERROR) || is(ENCODED) || is(EVALUATED) || is(GENERATED);
    }

    public boolean is(String wanted) {
        return kind.equals(wanted);
    }

    /** Whether the field is there and not null. */
    public boolean has(String name) {
        return fields.has(name);
    }

    public String text(String name) throws JsonException {
        return fields.text(name);
    }

    public long integer(String name) throws JsonException {
        return fields.integer(name);
    }

    public double number(String name) throws JsonException {
        return fields.number(name);
    }

    public JsonObject object(String name) throws JsonException {
        return fields.object(name);
    }

    /** The field, or {@code otherwise} where it is absent, null or no number. */
    public double number(String name, double otherwise) {
        Object value = fields.map().get(name);
        return value instanceof Number ? ((Number) value).doubleValue() : otherwise;
    }

    @Override
    public String toString() {
        return Json.write(fields.map());
    }
}
