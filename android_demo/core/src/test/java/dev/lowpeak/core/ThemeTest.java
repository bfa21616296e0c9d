package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

/** WCAG 2.1: 1.4.3 for text, 1.4.11 for what carries meaning. */
public class ThemeTest {
    @Test
    public void contrastIsThatOfTheStandard() {
        assertEquals(21, Theme.contrast(0xFF000000, 0xFFFFFFFF), 1e-9);
        assertEquals(4.54, Theme.contrast(0xFF767676, 0xFFFFFFFF), 0.005);
        assertEquals(1, Theme.contrast(0xFF123456, 0xFF123456), 1e-9);
    }

    @Test
    public void textCanBeRead() {
        for (Theme theme : new Theme[] {Theme.light(), Theme.dark()}) {
            for (int color : new int[] {theme.text, theme.mutedText}) {
                assertContrast(4.5, color, theme.background);
            }
        }
    }

    @Test
    public void linesCanBeSeen() {
        for (Theme theme : new Theme[] {Theme.light(), Theme.dark()}) {
            for (int color : new int[] {theme.rawLoss, theme.smoothLoss, theme.resident, theme.peak, theme.planned,
                theme.budget, theme.axis}) {
                assertContrast(3, color, theme.background);
            }
        }
    }

    private static void assertContrast(double least, int color, int background) {
        double found = Theme.contrast(color, background);
        assertTrue(String.format("%08x on %08x has %.2f", color, background, found), found >= least);
    }
}
