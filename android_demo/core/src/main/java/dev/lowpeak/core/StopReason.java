package dev.lowpeak.core;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Why a runner stopped by itself: the `reason` of its event `stopped`, in the words of native/trainer/memory.cpp. */
final class StopReason {
    private static final Pattern BUDGET =
            Pattern.compile("memory budget: .* needs ([0-9]{1,18}) bytes .* budget is ([0-9]{1,18})");
    private static final String UNREAD = "nobody reads the events";

    private final RunState state;
    private final String text;

    private StopReason(RunState state, String text) {
        this.state = state;
        this.text = text;
    }

    static StopReason of(String told) {
        Matcher budget = BUDGET.matcher(told);
        if (budget.matches()) {
            // The same would happen again.
            return new StopReason(RunState.FAILED,
                    Texts.overBudget(Long.parseLong(budget.group(1)), Long.parseLong(budget.group(2))));
        }
        if (told.startsWith("SIG")) {
            return new StopReason(RunState.STOPPED, Texts.systemAsked(told));
        }
        return new StopReason(RunState.STOPPED, told.equals(UNREAD) ? Texts.REASON_UNREAD : told);
    }

    RunState state() {
        return state;
    }

    /** A clause for the user. */
    String text() {
        return text;
    }
}
