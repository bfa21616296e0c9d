package dev.lowpeak.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Fields of a JSON object by their types; errors name the place. */
public final class JsonObject {
    private final Map<String, Object> fields;
    private final String where;

    private JsonObject(Map<String, Object> fields, String where) {
        this.fields = fields;
        this.where = where;
    }

    /** {@code where}: how errors call it. */
    @SuppressWarnings("unchecked")
    public static JsonObject of(Object value, String where) throws JsonException {
        if (!(value instanceof Map)) {
            throw new JsonException(where + " should be an object, it is " + typeOf(value));
        }
        return new JsonObject((Map<String, Object>) value, where);
    }

    /** As it was read. */
    public Map<String, Object> map() {
        return fields;
    }

    /** Whether the field is there and not null. */
    public boolean has(String name) {
        return fields.get(name) != null;
    }

    public String text(String name) throws JsonException {
        return typed(name, String.class, "a text");
    }

    public boolean flag(String name) throws JsonException {
        return typed(name, Boolean.class, "true or false");
    }

    public long integer(String name) throws JsonException {
        return typed(name, Long.class, "an integer");
    }

    public double number(String name) throws JsonException {
        return typed(name, Number.class, "a number").doubleValue();
    }

    public JsonObject object(String name) throws JsonException {
        return of(typed(name, Map.class, "an object"), where + "." + name);
    }

    public List<?> list(String name) throws JsonException {
        return typed(name, List.class, "a list");
    }

    public List<JsonObject> objects(String name) throws JsonException {
        List<JsonObject> made = new ArrayList<>();
        for (Object item : list(name)) {
            made.add(of(item, where + "." + name + "[" + made.size() + "]"));
        }
        return made;
    }

    private <T> T typed(String name, Class<T> type, String expected) throws JsonException {
        if (!fields.containsKey(name)) {
            throw new JsonException(where + " should have the field " + name);
        }
        Object value = fields.get(name);
        if (!type.isInstance(value)) {
            throw new JsonException(where + "." + name + " should be " + expected + ", it is " + typeOf(value));
        }
        return type.cast(value);
    }

    private static String typeOf(Object value) {
        return value == null ? "null"
                : value instanceof Map ? "an object"
                : value instanceof List ? "a list"
                : value instanceof String ? "a text"
                : value instanceof Boolean ? "true or false"
                : value instanceof Long ? "an integer" : "a number";
    }
}
