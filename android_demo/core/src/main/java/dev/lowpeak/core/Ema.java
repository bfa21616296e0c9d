package dev.lowpeak.core;

/** Exponential moving average without the pull of a first value: the weights of what was added sum to 1. */
public final class Ema {
    private final double decay;
    private double sum;
    private double weight;

    /** {@code decay}: what remains of a value's weight with each later one, from 0 to below 1. */
    public Ema(double decay) {
        if (!(decay >= 0 && decay < 1)) {
            throw new IllegalArgumentException("decay must be in [0, 1), not " + decay);
        }
        this.decay = decay;
    }

    /** The average with the value; NaN is passed over. */
    public double add(double value) {
        if (!Double.isNaN(value)) {
            sum = decay * sum + (1 - decay) * value;
            weight = decay * weight + (1 - decay);
        }
        return value();
    }

    /** NaN without a value. */
    public double value() {
        return weight == 0 ? Double.NaN : sum / weight;
    }
}
