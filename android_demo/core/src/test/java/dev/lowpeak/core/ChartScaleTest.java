package dev.lowpeak.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Random;
import org.junit.Test;

public class ChartScaleTest {
    @Test
    public void ticksAreRoundNumbers() {
        assertArrayEquals(new double[] {0, 50, 100, 150, 200}, ChartScale.of(0, 196.3, 5).ticks(), 1e-9);
        assertArrayEquals(new double[] {1.5, 2, 2.5, 3, 3.5}, ChartScale.of(1.7, 3.2, 4).ticks(), 1e-9);
        assertArrayEquals(new double[] {0, 1, 2, 3}, ChartScale.ofSteps(3, 10).ticks(), 1e-9);
        assertArrayEquals(new double[] {0, 20, 40, 60}, ChartScale.ofSteps(60, 4).ticks(), 1e-9);
        assertArrayEquals(new double[] {0, 50, 100, 150}, ChartScale.ofSteps(180, 4).ticks(), 1e-9);
        assertEquals(1, ChartScale.ofSteps(180, 4).place(180), 0);
    }

    @Test
    public void anyRangeIsHeldWithinTheIntervals() {
        Random random = new Random(1);
        for (int i = 0; i < 20_000; i++) {
            double least = (random.nextDouble() - 0.5) * Math.pow(10, random.nextInt(18) - 6);
            double most = least + random.nextDouble() * Math.pow(10, random.nextInt(18) - 6);
            int intervals = 1 + random.nextInt(8);
            ChartScale scale = ChartScale.of(least, most, intervals);
            double[] ticks = scale.ticks();
            double slack = 1e-6 * (scale.high() - scale.low());
            String what = least + " to " + most + " in " + intervals;
            assertTrue(what, ticks.length >= 2);
            assertTrue(what, scale.low() <= least + slack && scale.high() >= most - slack);
            assertTrue(what, ticks.length - 1 <= (intervals == 1 ? 2 : intervals));
        }
    }

    @Test
    public void labelsDiffer() {
        ChartScale scale = ChartScale.of(2.0301, 2.0342, 5);
        String before = "";
        for (double tick : scale.ticks()) {
            assertTrue(!scale.label(tick).equals(before));
            before = scale.label(tick);
        }
        assertEquals("2.031", scale.label(2.031));
        assertEquals("0.0", ChartScale.of(-0.2, 0.2, 4).label(-1e-17));
        assertEquals("1200", ChartScale.of(0, 5000, 5).label(1200));
    }

    @Test
    public void oneValueHasARangeAroundIt() {
        for (double value : new double[] {0, 2.5, -3, 1e9}) {
            ChartScale scale = ChartScale.of(value, value, 4);
            assertTrue(scale.low() <= value && value <= scale.high() && scale.low() < scale.high());
        }
        assertThrows(IllegalArgumentException.class, () -> ChartScale.of(Double.NaN, 1, 4));
        assertThrows(IllegalArgumentException.class, () -> ChartScale.of(2, 1, 4));
    }
}
