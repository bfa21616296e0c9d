package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class EmaTest {
    @Test
    public void ofConstantValuesIsThatValueFromTheFirstOn() {
        Ema ema = new Ema(0.9);
        assertTrue(Double.isNaN(ema.value()));
        for (int i = 0; i < 50; i++) {
            assertEquals(3, ema.add(3), 1e-12);
        }
    }

    @Test
    public void weighsByAge() {
        Ema ema = new Ema(0.5);
        ema.add(0);
        ema.add(3);
        assertEquals((0.5 * 0 + 3) / 1.5, ema.value(), 1e-12);
        ema.add(Double.NaN);
        assertEquals(2, ema.value(), 1e-12);
        assertThrows(IllegalArgumentException.class, () -> new Ema(1));
    }
}
