package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class UnitsTest {
    @Test
    public void durations() {
        assertEquals("12 s", Units.duration(12.4));
        assertEquals("1 min", Units.duration(59.7));
        assertEquals("3 min 20 s", Units.duration(200));
        assertEquals("1 h", Units.duration(3601));
        assertEquals("2 h 5 min", Units.duration(7500));
    }

    @Test
    public void figures() {
        assertEquals("196.3 MB", Units.megabytes(196_300_000));
        assertEquals("2.031", Units.loss(2.0312));
        assertEquals("none", Units.loss(Double.NaN));
        assertEquals("4.7", Units.perSecond(4.71));
        assertEquals("183", Units.perSecond(183.2));
    }
}
