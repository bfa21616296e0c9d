package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class RunnerEventTest {
    @Test
    public void hasItsFields() throws JsonException {
        RunnerEvent event = RunnerEvent.parse(
                "{\"event\":\"step\",\"step\":3,\"loss\":2.5,\"tokens_per_second\":null,\"new\":1}");
        assertTrue(event.is(RunnerEvent.STEP) && !event.isLast());
        assertEquals(3, event.integer("step"));
        assertEquals(2.5, event.number("loss"), 0);
        assertFalse(event.has("tokens_per_second"));
        assertEquals(-1, event.number("tokens_per_second", -1), 0);
        assertThrows(JsonException.class, () -> event.number("tokens_per_second"));
    }

    @Test
    public void kindsOfLaterVersionsAreEvents() throws JsonException {
        assertEquals("later", RunnerEvent.parse("{\"event\":\"later\"}").kind());
    }

    @Test
    public void whatIsNoEventIsRefused() {
        for (String line : new String[] {"", "{}", "[]", "{\"event\":3}", "{\"event\":\"step\",\"st", "Killed"}) {
            assertThrows(line, JsonException.class, () -> RunnerEvent.parse(line));
        }
    }
}
