package dev.lowpeak.core;

/** Text that is not the JSON it should be. */
public final class JsonException extends Exception {
    private static final long serialVersionUID = 1L;

    public JsonException(String message) {
        super(message);
    }
}
