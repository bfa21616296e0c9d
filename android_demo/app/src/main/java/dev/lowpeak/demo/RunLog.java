package dev.lowpeak.demo;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Locale;

/** The last lines of what happened, with the time since the app started. */
final class RunLog {
    private static final int MOST = 200;

    private final Deque<String> lines = new ArrayDeque<>();
    private final long begun = System.nanoTime();

    void add(String line) {
        if (lines.size() == MOST) {
            lines.removeFirst();
        }
        double seconds = (System.nanoTime() - begun) / 1e9;
        lines.addLast(String.format(Locale.ROOT, "%8.1f s  %s", seconds, line));
    }

    /** The newest first. */
    String text() {
        StringBuilder made = new StringBuilder();
        lines.descendingIterator().forEachRemaining(line -> made.append(line).append('\n'));
        return made.toString();
    }
}
