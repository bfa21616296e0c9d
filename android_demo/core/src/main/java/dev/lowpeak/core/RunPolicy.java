package dev.lowpeak.core;

import java.util.Arrays;
import java.util.List;

/** Several policies: the strictest decision counts, of equal ones the first. */
public final class RunPolicy implements Policy {
    private final List<Policy> policies;

    public RunPolicy(Policy... policies) {
        this.policies = Arrays.asList(policies);
    }

    /** All that core has. */
    public static RunPolicy of(boolean onlyWhileCharging, TimeLimitPolicy timeLimit) {
        return new RunPolicy(
                new ThermalPolicy(), new MemoryPolicy(), new ChargingPolicy(onlyWhileCharging), timeLimit);
    }

    @Override
    public Decision decide(DeviceState state) {
        Decision strictest = Decision.RUN;
        for (Policy policy : policies) {
            Decision decision = policy.decide(state);
            if (decision.action().compareTo(strictest.action()) > 0) {
                strictest = decision;
            }
        }
        return strictest;
    }
}
