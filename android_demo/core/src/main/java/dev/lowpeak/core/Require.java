package dev.lowpeak.core;

import java.util.Arrays;

/** Values of a job. Each throws IllegalArgumentException that names the field and the value. */
final class Require {
    private Require() {}

    static <T> T given(String name, T value) {
        if (value == null) {
            throw new IllegalArgumentException(name + " is not given");
        }
        return value;
    }

    static String oneOf(String name, String value, String... known) {
        if (!Arrays.asList(known).contains(value)) {
            throw new IllegalArgumentException(
                    name + " must be " + String.join(" or ", known) + ", not " + value);
        }
        return value;
    }

    static double positive(String name, double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw new IllegalArgumentException(name + " must be positive, not " + value);
        }
        return value;
    }

    static double atLeast(String name, double value, double least) {
        if (!(value >= least) || Double.isInfinite(value)) {
            throw new IllegalArgumentException(name + " must be " + least + " or more, not " + value);
        }
        return value;
    }

    static long atLeast(String name, long value, long least) {
        if (value < least) {
            throw new IllegalArgumentException(name + " must be " + least + " or more, not " + value);
        }
        return value;
    }
}
