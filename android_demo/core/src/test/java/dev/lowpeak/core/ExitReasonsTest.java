package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.HashSet;
import java.util.Set;
import org.junit.Test;

public class ExitReasonsTest {
    @Test
    public void sigkillMayBeLowMemoryWhereTheDeviceDoesNotReportIt() {
        assertTrue(ExitReasons.ofAndroid(ExitReasons.SIGNALED, Signals.KILL, false).maybeLowMemory());
        assertFalse(ExitReasons.ofAndroid(ExitReasons.SIGNALED, Signals.KILL, true).maybeLowMemory());
        assertTrue(ExitReasons.ofAndroid(ExitReasons.LOW_MEMORY, 0, true).maybeLowMemory());
        assertTrue(ExitReasons.ofExit(137, Signals.KILL).maybeLowMemory());
    }

    @Test
    public void everyReasonOfAndroidHasItsText() {
        Set<String> texts = new HashSet<>();
        for (int reason = 0; reason <= 16; reason++) {
            String text = ExitReasons.ofAndroid(reason, Signals.TERM, true).text();
            assertFalse(text, text.isEmpty() || text.endsWith("."));
            texts.add(text);
        }
        // Two crashes, two ends by the user, two changes of the package; unknown and other.
        assertEquals(13, texts.size());
        assertEquals("the system does not say why it ended", ExitReasons.ofAndroid(99, 0, true).text());
    }

    @Test
    public void signalsByTheExitCode() {
        assertEquals(Integer.valueOf(9), Signals.ofExitCode(137));
        assertEquals(Integer.valueOf(15), Signals.ofExitCode(143));
        for (int code : new int[] {0, 1, 2, 126, 127, 128, 255}) {
            assertNull(Signals.ofExitCode(code));
        }
        assertEquals("the runner crashed (SIGSEGV)", ExitReasons.ofExit(139, Signals.SEGV).text());
        assertEquals("it was ended by signal 42", ExitReasons.ofSignal(42).text());
    }

    @Test
    public void whatIsOfferedAfterTheAppsEnd() {
        assertEquals("The app ended while it trained: the system ended it to get memory. You can continue from "
                + "step 50.", Texts.appEnded(ExitReasons.ofAndroid(ExitReasons.LOW_MEMORY, 0, true), 50, false));
    }
}
