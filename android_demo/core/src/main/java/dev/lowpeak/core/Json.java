package dev.lowpeak.core;

import java.util.List;
import java.util.Map;

/** JSON as RFC 8259 has it: org.json is in Android's framework only. */
public final class Json {
    private Json() {}

    /**
     * A Map in the text's order, a List, a String, a Long, a Double, a Boolean or null.
     *
     * <p>An integer that a long cannot hold is a Double. Throws for anything else than one value, for a key that
     * comes twice, and where values are nested more than 200 deep; the message has the position.
     */
    public static Object parse(String text) throws JsonException {
        return new JsonParser(text).whole();
    }

    /** The object that the text is, for reading its fields. */
    public static JsonObject parseObject(String text) throws JsonException {
        return JsonObject.of(parse(text), "the text");
    }

    /** In one line. Throws IllegalArgumentException for what JSON has no form for, such as NaN. */
    public static String write(Object value) {
        StringBuilder made = new StringBuilder();
        write(value, made);
        return made.toString();
    }

    private static void write(Object value, StringBuilder made) {
        if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
            made.append(value);
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            if (Double.isNaN(number) || Double.isInfinite(number)) {
                throw new IllegalArgumentException("JSON has no " + number);
            }
            made.append(number);
        } else if (value instanceof CharSequence) {
            writeText((CharSequence) value, made);
        } else if (value instanceof Map) {
            char separator = '{';
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                made.append(separator);
                writeText((String) entry.getKey(), made);
                made.append(':');
                write(entry.getValue(), made);
                separator = ',';
            }
            made.append(separator == '{' ? "{}" : "}");
        } else if (value instanceof List) {
            char separator = '[';
            for (Object item : (List<?>) value) {
                made.append(separator);
                write(item, made);
                separator = ',';
            }
            made.append(separator == '[' ? "[]" : "]");
        } else {
            throw new IllegalArgumentException("JSON has no " + value.getClass().getName());
        }
    }

    private static void writeText(CharSequence text, StringBuilder made) {
        made.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                made.append('\\').append(c);
            } else if (c < ' ' || isLoneSurrogate(text, i)) {
                made.append(String.format("\\u%04x", (int) c));
            } else {
                made.append(c);
            }
        }
        made.append('"');
    }

    /** Half of a character has no UTF-8. */
    private static boolean isLoneSurrogate(CharSequence text, int place) {
        char c = text.charAt(place);
        if (Character.isHighSurrogate(c)) {
            return place + 1 == text.length() || !Character.isLowSurrogate(text.charAt(place + 1));
        }
        return Character.isLowSurrogate(c) && (place == 0 || !Character.isHighSurrogate(text.charAt(place - 1)));
    }
}
