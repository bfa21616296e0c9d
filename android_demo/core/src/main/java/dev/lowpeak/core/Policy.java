package dev.lowpeak.core;

/** Looks at one side of the phone. */
public interface Policy {
    Decision decide(DeviceState state);
}
