package dev.lowpeak.core;

/** A folder that is no artifact, or a damaged one; the message is for the user. */
public final class BundleException extends Exception {
    private static final long serialVersionUID = 1L;

    public BundleException(String message) {
        super(message);
    }
}
