package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;

import java.util.concurrent.TimeUnit;
import org.junit.Test;

public class PoliciesTest {
    private static final long MB = 1_000_000;

    private static void expect(String action, String reason, Policy policy, DeviceState.Builder state) {
        Decision decision = policy.decide(state.build());
        assertEquals(Decision.Action.valueOf(action), decision.action());
        assertEquals(reason, decision.reason());
    }

    private static DeviceState.Builder phone() {
        return DeviceState.builder();
    }

    @Test
    public void heat() {
        Policy policy = new ThermalPolicy();
        expect("RUN", "", policy, phone().thermalStatus(2));
        expect("PAUSE", "the phone is too hot (severe)", policy, phone().thermalStatus(3));
        expect("STOP", "the phone is too hot (critical)", policy, phone().thermalStatus(4));
        expect("STOP", "the phone is too hot (shutdown)", policy, phone().thermalStatus(6));
        expect("PAUSE", "the phone is still cooling down (moderate)", policy, phone().thermalStatus(2).paused(true));
        expect("RUN", "", policy, phone().thermalStatus(1).paused(true));
        expect("RUN", "", policy, phone().thermalHeadroom(0.99f));
        expect("PAUSE", "the phone is about to be too hot", policy, phone().thermalHeadroom(1));
        expect("PAUSE", "the phone is still cooling down (light)", policy,
                phone().thermalStatus(1).thermalHeadroom(0.9f).paused(true));
        expect("RUN", "", policy, phone().thermalHeadroom(0.8f).paused(true));
    }

    @Test
    public void memory() {
        Policy policy = new MemoryPolicy();
        expect("RUN", "", policy, phone().memory(500 * MB, 200 * MB, false).neededBytes(300 * MB));
        expect("PAUSE", "the phone is short of memory: 499.0 MB are free, 500.0 MB are needed", policy,
                phone().memory(499 * MB, 200 * MB, false).neededBytes(300 * MB));
        expect("PAUSE", "the phone is short of memory: 499.0 MB are free, 200.0 MB are needed", policy,
                phone().memory(499 * MB, 200 * MB, true));
    }

    @Test
    public void charging() {
        Policy any = new ChargingPolicy(false);
        Policy only = new ChargingPolicy(true);
        expect("RUN", "", any, phone().battery(false, 15));
        expect("STOP", "the battery is at 14 % and is not charged", any, phone().battery(false, 14));
        expect("RUN", "", any, phone().battery(true, 1));
        expect("PAUSE", "the phone is not charging", only, phone().battery(false, 90));
        expect("RUN", "", only, phone().battery(true, 90));
    }

    @Test
    public void timeLimit() {
        Policy policy = TimeLimitPolicy.of(TimeLimitPolicy.SIX_HOURS);
        long end = TimeUnit.MINUTES.toMillis(358);
        expect("RUN", "", policy, phone().elapsedMillis(end - 1));
        expect("STOP", "the system allows 360 minutes of it a day", policy, phone().elapsedMillis(end));
        expect("RUN", "", TimeLimitPolicy.none(), phone().elapsedMillis(Long.MAX_VALUE));
    }

    @Test
    public void theStrictestCounts() {
        RunPolicy policy = RunPolicy.of(true, TimeLimitPolicy.none());
        expect("RUN", "", policy, phone());
        expect("PAUSE", "the phone is too hot (severe)", policy, phone().thermalStatus(3).battery(false, 90));
        expect("STOP", "the phone is too hot (critical)", policy, phone().thermalStatus(4).memory(1, 2, true));
    }
}
