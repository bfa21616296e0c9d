package dev.lowpeak.core;

/**
 * A training run's states and what the user is told in each.
 *
 * <pre>
 * IDLE, PAUSED, STOPPED, FAILED, DONE --started()--> LOADING --step--> TRAINING
 * LOADING --encodes(), then encoded()--> LOADING, or as was asked
 * LOADING, TRAINING --pauseAsked(), then `stopped`--> PAUSED --resumed()--> LOADING
 * LOADING, TRAINING --stopAsked(), then `stopped`--> STOPPED
 * LOADING, TRAINING --`done`--> DONE; --`error` or a death--> FAILED
 * </pre>
 *
 * <p>A pause ends the process: it holds no memory meanwhile, and goes on from its checkpoint. One thread at a time.
 * Every method throws IllegalStateException, and changes nothing, where the state does not allow it.
 */
public final class RunMachine {
    private static final String DATA_ERROR = "DataError";

    private enum Asked { NOTHING, PAUSE, STOP }

    private RunState state = RunState.IDLE;
    private Asked asked = Asked.NOTHING;
    private boolean encoding;
    private String why = "";
    private String message = Texts.IDLE;
    private long step = -1;
    private long stored;
    private String error = "";
    private String errorMessage = "";

    public RunState state() {
        return state;
    }

    /** For the user: where the run is, and what can be done. */
    public String message() {
        return message;
    }

    /** Whether a pause or a stop was asked for that has not come about. */
    public boolean isEnding() {
        return asked != Asked.NOTHING;
    }

    /** Updates that are certainly in the checkpoint; 0: there is none. */
    public long storedStep() {
        return stored;
    }

    /** The class of the runner's error, such as ArtifactError; empty where there was none. */
    public String error() {
        return error;
    }

    /** A runner was started. {@code storedStep}: updates in the checkpoint that it continues from, or 0. */
    public RunState started(long storedStep) {
        require(state.canStart(), "started");
        stored = Require.atLeast("the stored step", storedStep, 0);
        step = -1;
        error = "";
        asked = Asked.NOTHING;
        encoding = false;
        return to(RunState.LOADING, Texts.loading(storedStep));
    }

    /** The runner that was started makes batches of text first: until {@code encoded} nothing of it is kept. */
    public RunState encodes() {
        require(state == RunState.LOADING && asked == Asked.NOTHING, "encoded");
        encoding = true;
        return to(RunState.LOADING, Texts.ENCODING);
    }

    /** All batches are there and the runner has ended: another is started, unless an end was asked for. */
    public RunState encoded() {
        require(state == RunState.LOADING && encoding, "ready to train");
        encoding = false;
        return asked == Asked.NOTHING ? to(RunState.LOADING, Texts.loading(stored)) : rest();
    }

    /** As {@code started}, of a run that was paused. */
    public RunState resumed(long storedStep) {
        require(state == RunState.PAUSED, "resumed");
        return started(storedStep);
    }

    /** The runner is told to end for a pause. {@code reason}: for the user. */
    public RunState pauseAsked(String reason) {
        require(state.isActive() && asked == Asked.NOTHING, "paused");
        asked = Asked.PAUSE;
        why = reason;
        message = Texts.pausing(reason, encoding);
        return state;
    }

    /** The runner is told to end. Of a paused run: it is not to go on by itself. */
    public RunState stopAsked(String reason) {
        require((state.isActive() && asked != Asked.STOP) || state == RunState.PAUSED, "stopped");
        why = reason;
        if (state == RunState.PAUSED) {
            return to(RunState.STOPPED, Texts.stopped(stored, reason));
        }
        asked = Asked.STOP;
        message = Texts.stopping(reason, encoding);
        return state;
    }

    /** What the runner told. Throws JsonException for an event without its fields. */
    public RunState apply(RunnerEvent event) throws JsonException {
        require(state.isActive(), "told \"" + event.kind() + "\"");
        if (event.is(RunnerEvent.STEP)) {
            step = event.integer("step");
            if (asked == Asked.NOTHING) {
                message = Texts.training(step + 1);
            }
            state = RunState.TRAINING;
        } else if (event.is(RunnerEvent.DONE)) {
            stored = event.integer("step");
            return to(RunState.DONE, Texts.done(stored));
        } else if (event.is(RunnerEvent.STOPPED)) {
            stored = event.integer("step");
            return stopped(event.text("reason"));
        } else if (event.is(RunnerEvent.ERROR)) {
            String said = event.text("message");
            error = event.text("class");
            errorMessage = said;
            return to(RunState.FAILED, failed());
        }
        return state;
    }

    /**
     * The process has ended. {@code storedStep}: updates in the checkpoint that lies there now, or 0.
     *
     * <p>{@code signal} is null when no signal ended it; {@code reason} is what the system says of it, or null.
     */
    public RunState exited(int code, Integer signal, ExitReason reason, long storedStep) {
        if (!state.isActive()) {
            require(state != RunState.IDLE, "ended");
            // What it told last counts; a run with an error does not say how much of it was kept.
            if (!error.isEmpty()) {
                stored = Require.atLeast("the stored step", storedStep, 0);
                message = failed();
            }
            return state;
        }
        stored = Require.atLeast("the stored step", storedStep, 0);
        if (asked != Asked.NOTHING && signal != null) {
            boolean lost = signal != Signals.TERM || step + 1 > stored;
            return encoding ? rest() : to(resting(), Texts.endedUnsaved(resting(), why, stored, lost));
        }
        ExitReason known = reason != null ? reason : ExitReasons.ofExit(code, signal);
        return to(RunState.FAILED,
                encoding ? Texts.encodingDied(known, stored) : Texts.died(known, step + 1, stored));
    }

    private String failed() {
        boolean data = encoding && error.equals(DATA_ERROR);
        return data ? Texts.examplesWrong(errorMessage, stored) : Texts.failed(errorMessage, stored);
    }

    private RunState stopped(String told) {
        if (asked != Asked.NOTHING) {
            return rest();
        }
        StopReason reason = StopReason.of(told);
        return to(reason.state(), Texts.stopped(stored, reason.text()) + (encoding ? Texts.ENCODED_ANEW : ""));
    }

    private RunState rest() {
        String text = asked == Asked.PAUSE ? Texts.paused(stored, why) : Texts.stopped(stored, why);
        return to(resting(), text + (encoding ? Texts.ENCODED_ANEW : ""));
    }

    private RunState resting() {
        return asked == Asked.PAUSE ? RunState.PAUSED : RunState.STOPPED;
    }

    private RunState to(RunState next, String text) {
        state = next;
        message = text;
        if (!next.isActive()) {
            asked = Asked.NOTHING;
        }
        return state;
    }

    private void require(boolean allowed, String what) {
        if (!allowed) {
            String ending = asked == Asked.NOTHING ? "" : " and about to end";
            throw new IllegalStateException("a run that is " + state + ending + " cannot be " + what);
        }
    }
}
