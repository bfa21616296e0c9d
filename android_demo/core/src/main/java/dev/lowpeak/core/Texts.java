package dev.lowpeak.core;

import java.util.Locale;

/** What the user is told of a run, of the phone and by the charts. Errors of files are worded where they arise. */
public final class Texts {
    public static final String IDLE = "Nothing is being trained.";

    public static final String REASON_USER = "you asked for it";
    public static final String REASON_UNREAD = "the app no longer listened to it";

    static final String EXIT_KILLED = "the system ended it without a word (SIGKILL), most likely to get memory";
    static final String EXIT_LOW_MEMORY = "the system ended it to get memory";
    static final String EXIT_BUS =
            "it could not read a file that it had mapped (SIGBUS): a file changed, or the disk failed";
    static final String EXIT_USAGE = "the runner was started with options that it does not know";
    static final String EXIT_UNKNOWN = "the system does not say why it ended";
    static final String APP_KILLED = "the system ended the app (SIGKILL), not to get memory";
    static final String APP_CRASHED = "the app crashed";
    static final String APP_ANR = "the app did not respond";
    static final String APP_INITIALIZATION = "the app could not start";
    static final String APP_PERMISSION = "a permission of the app was changed";
    static final String APP_EXCESSIVE = "the system ended the app, as it used too much";
    static final String APP_USER = "you ended the app";
    static final String APP_DEPENDENCY = "something that the app uses ended";
    static final String APP_FREEZER = "the system could not wake the app";
    static final String APP_PACKAGE = "the app was updated or changed";

    static final String LOSS = "Loss";
    static final String EACH_STEP = "each step";
    static final String AVERAGE = "moving average";
    static final String MEMORY = "Memory, MB";
    static final String RESIDENT = "now";
    static final String PEAK = "peak";
    static final String PLANNED = "predicted peak";
    static final String BUDGET = "budget";
    static final String AXIS_STEP = "step";

    static final String ENCODING = "Making the examples ready.";
    static final String ENCODED_ANEW = " The examples were not all ready: they are made ready anew.";

    private Texts() {}

    static String loading(long stored) {
        return stored > 0 ? "Loading, to continue from step " + stored + "." : "Loading.";
    }

    static String training(long steps) {
        return "Training: " + steps + (steps == 1 ? " step" : " steps") + " made.";
    }

    /** {@code encoding}: whether the examples are still being made ready. */
    static String pausing(String reason, boolean encoding) {
        return "Pausing, as " + reason + writing(encoding);
    }

    static String stopping(String reason, boolean encoding) {
        return "Stopping, as " + reason + writing(encoding);
    }

    static String paused(long stored, String reason) {
        return "Paused at step " + stored + ", as " + reason + "." + kept(stored);
    }

    static String stopped(long stored, String reason) {
        return "Stopped at step " + stored + ", as " + reason + "." + kept(stored);
    }

    static String done(long steps) {
        return "Done: " + steps + (steps == 1 ? " step." : " steps.");
    }

    static String failed(String message, long stored) {
        return sentence(message) + " " + offer(stored);
    }

    /** Of examples that could not be made ready. */
    static String examplesWrong(String message, long stored) {
        return sentence(message) + (stored > 0 ? " The run has its " + stored
                + " steps; its examples stay as they were: mend yours and start a new run."
                : " Mend the examples and start again.");
    }

    static String encodingDied(ExitReason reason, long stored) {
        return "It ended while the examples were made ready: " + reason.text() + ". " + offer(stored);
    }

    static String endedUnsaved(RunState state, String reason, long stored, boolean lost) {
        String what = (state == RunState.PAUSED ? "Paused" : "Stopped") + ", as " + reason + ".";
        return lost ? what + " There was no time for a checkpoint: steps after step " + stored + " are made again."
                : what + kept(stored);
    }

    static String died(ExitReason reason, long made, long stored) {
        String after = made > 0 ? " after step " + made : " before its first step";
        return "Training ended" + after + ": " + reason.text() + ". " + offer(stored);
    }

    /** What can be done after a death or an error. */
    public static String offer(long stored) {
        return stored > 0 ? "You can continue from step " + stored + "."
                : "There is no checkpoint yet: start again from the beginning.";
    }

    /** Of a run that was going on when the app itself ended. */
    public static String appEnded(ExitReason reason, long stored, boolean encoding) {
        String what = encoding ? "made the examples ready" : "trained";
        return "The app ended while it " + what + ": " + reason.text() + ". " + offer(stored);
    }

    static String systemAsked(String signal) {
        return "the system asked it to end (" + signal + ")";
    }

    static String overBudget(long needed, long budget) {
        return "the next step needs " + Units.megabytes(needed) + " of memory and the artifact's budget is "
                + Units.megabytes(budget) + ": compile it for a larger budget or shorter sequences";
    }

    static String exitCode(int code) {
        return "the runner ended with code " + code + " and did not say why";
    }

    static String exitCrashed(String signal) {
        return "the runner crashed (" + signal + ")";
    }

    static String exitSignal(String signal) {
        return "it was ended by " + signal;
    }

    static String appExit(int status) {
        return "the app ended itself with code " + status;
    }

    public static String thermal(String status) {
        return "the phone is too hot (" + status + ")";
    }

    public static String soonTooHot() {
        return "the phone is about to be too hot";
    }

    public static String cooling(String status) {
        return "the phone is still cooling down (" + status + ")";
    }

    public static String lowMemory(long available, long needed) {
        return "the phone is short of memory: " + Units.megabytes(available) + " are free, "
                + Units.megabytes(needed) + " are needed";
    }

    public static String notCharging() {
        return "the phone is not charging";
    }

    public static String lowBattery(int percent) {
        return "the battery is at " + percent + " % and is not charged";
    }

    public static String timeLimit(long minutes) {
        return "the system allows " + minutes + " minutes of it a day";
    }

    /** "peak 194.6 MB"; only the name where the value is not known. */
    static String value(String name, double bytes) {
        return Double.isNaN(bytes) ? name : name + " " + Units.megabytes(bytes);
    }

    /** Name and figure each. */
    static String[][] figures(ChartModel model) {
        String goal = model.totalSteps() == 0 ? "" : " of " + model.totalSteps();
        double speed = model.tokensPerSecond();
        double left = model.secondsLeft();
        return new String[][] {
            {"Step", model.step() + goal},
            {"Loss", Double.isNaN(model.smoothLoss().last()) ? "–" : Units.loss(model.smoothLoss().last())},
            {"Tokens/s", Double.isNaN(speed) ? "–" : Units.perSecond(speed)},
            {"Time left", Double.isNaN(left) ? "–" : left > 0 ? Units.duration(left) : "done"},
        };
    }

    static String describe(ChartModel model) {
        if (model.loss().size() == 0) {
            return "No step was made yet." + memoryWords(model);
        }
        String text = "Step " + model.step() + (model.totalSteps() == 0 ? "" : " of " + model.totalSteps())
                + ". Loss " + Units.loss(model.loss().last()) + ", on average " + Units.loss(model.smoothLoss().last())
                + "; it began with " + Units.loss(model.loss().value(0)) + ".";
        if (!Double.isNaN(model.tokensPerSecond())) {
            text += " " + Units.perSecond(model.tokensPerSecond()) + " tokens a second.";
        }
        if (model.secondsLeft() > 0) {
            text += " About " + Units.duration(model.secondsLeft()) + " left.";
        }
        return text + memoryWords(model);
    }

    private static String memoryWords(ChartModel model) {
        String text = "";
        if (!Double.isNaN(model.resident().last())) {
            text += " Memory " + Units.megabytes(model.resident().last()) + ", at most "
                    + Units.megabytes(model.peak().last()) + ".";
        }
        if (!Double.isNaN(model.plannedPeak())) {
            text += " Predicted were at most " + Units.megabytes(model.plannedPeak()) + ", the budget is "
                    + Units.megabytes(model.budget()) + ".";
        }
        return text;
    }

    static String otherKind(Example.Kind found, Example.Kind others) {
        return "it has " + found.words() + ", the others have " + others.words() + ": all must be of one kind";
    }

    static String sentence(String text) {
        if (text.isEmpty()) {
            return text;
        }
        String begun = text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
        return ".!?".indexOf(begun.charAt(begun.length() - 1)) >= 0 ? begun : begun + ".";
    }

    private static String writing(boolean encoding) {
        return encoding ? "." : ": the checkpoint is being written.";
    }

    private static String kept(long stored) {
        return stored > 0 ? " It can be continued from there." : " No step was made.";
    }
}
