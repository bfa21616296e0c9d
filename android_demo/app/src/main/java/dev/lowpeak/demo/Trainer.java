package dev.lowpeak.demo;

import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.Decision;
import dev.lowpeak.core.JsonException;
import dev.lowpeak.core.RunMachine;
import dev.lowpeak.core.RunState;
import dev.lowpeak.core.RunnerEvent;
import dev.lowpeak.core.RunnerProcess;
import java.io.IOException;
import java.util.concurrent.Executor;

/**
 * One run after the other in a child process: encodes text where there are no batches, then trains.
 *
 * <p>Everything happens on one thread, {@code main}; what the process tells is handed over to it.
 */
final class Trainer {
    private final RunnerCommand command;
    private final RunMarker marker;
    private final RunLog log;
    private final Executor main;
    private final Runnable changed;

    private RunMachine machine = new RunMachine();
    private RunRecord record = RunRecord.empty();
    private Run run;
    private RunnerProcess process;
    private boolean encodes;
    private boolean encoded;
    private boolean pausedByPolicy;
    private String notice = "";

    /** {@code changed}: called on {@code main} after anything has changed. */
    Trainer(RunnerCommand command, RunMarker marker, RunLog log, Executor main, Runnable changed) {
        this.command = command;
        this.marker = marker;
        this.log = log;
        this.main = main;
        this.changed = changed;
    }

    RunState state() {
        return machine.state();
    }

    /** For the user. */
    String message() {
        return notice.isEmpty() ? machine.message() : notice;
    }

    /** Whether there is a process: it ends a little after it has told its last event. */
    boolean isWorking() {
        return process != null;
    }

    /** Whether a process works, or a pause of a policy is to end by itself. */
    boolean isBusy() {
        return isWorking() || waits();
    }

    boolean isEnding() {
        return machine.isEnding();
    }

    /** The run that was opened last, or null. */
    Run run() {
        return run;
    }

    ChartModel charts() {
        return record.charts();
    }

    /** Shows a run with the steps that it has, without starting it. {@code why}: for the user. */
    void open(Run opened, String why) {
        requireIdle();
        run = opened;
        machine = new RunMachine();
        notice = why;
        record = RunRecord.of(run, log);
        changed.run();
    }

    /**
     * Starts the run, or continues it from its checkpoint. Throws IOException when it has its steps, or no process
     * could be started.
     */
    void start(Run started) throws IOException {
        requireIdle();
        long stored = started.folder().storedStep();
        if (stored >= started.totalSteps()) {
            throw new IOException(started.name() + " has its " + stored + " steps: ask for more to go on");
        }
        if (run != started) {
            run = started;
            machine = new RunMachine();
        }
        record = RunRecord.of(run, log);
        notice = "";
        begin(stored);
    }

    /** Ends the process with a checkpoint, to go on when the user says so. */
    void pause(String reason) throws IOException {
        machine.pauseAsked(reason);
        pausedByPolicy = false;
        terminate();
    }

    private void goOn() throws IOException {
        pausedByPolicy = false;
        begin(run.folder().storedStep());
    }

    /** Ends the process with a checkpoint. */
    void stop(String reason) throws IOException {
        machine.stopAsked(reason);
        pausedByPolicy = false;
        if (process != null) {
            terminate();
        } else {
            marker.clear();
            changed.run();
        }
    }

    /** What the policies say of the phone as it is now. */
    void obey(Decision decision) throws IOException {
        if (waits()) {
            if (decision.action() == Decision.Action.RUN) {
                log.add("goes on");
                goOn();
            } else if (decision.action() == Decision.Action.STOP) {
                stop(decision.reason());
            }
        } else if (machine.state().isActive() && !machine.isEnding()) {
            if (decision.action() == Decision.Action.PAUSE) {
                pause(decision.reason());
                pausedByPolicy = true;
            } else if (decision.action() == Decision.Action.STOP) {
                stop(decision.reason());
            }
        }
    }

    /** SIGKILL, when there is no time left: what is after the last checkpoint is lost. */
    void kill() throws IOException {
        if (process != null) {
            process.kill();
        }
    }

    /** Whether a policy paused it. */
    boolean waits() {
        return pausedByPolicy && machine.state() == RunState.PAUSED && !isWorking();
    }

    private void begin(long stored) throws IOException {
        machine.started(stored);
        encodes = run.needsEncoding();
        encoded = false;
        try {
            marker.set(run.name());
            if (encodes) {
                machine.encodes();
                log.add("encodes the examples of " + run.name());
                process = start("encode", run.prepareEncoding());
            } else {
                train();
            }
        } catch (IOException error) {
            fail(error);
            throw error;
        }
        changed.run();
    }

    private void train() throws IOException {
        log.add("trains " + run.name());
        record.open();
        // Without a verb it trains.
        process = start(run.folder().job().getName(), "--resume", "--metrics");
    }

    private RunnerProcess start(String... arguments) throws IOException {
        return command.start(run.folder().folder(), new HandedOver(main, new Follower()), arguments);
    }

    private void terminate() throws IOException {
        log.add(machine.message());
        process.terminate();
        changed.run();
    }

    private void take(RunnerEvent event) {
        try {
            if (event.is(RunnerEvent.ENCODED)) {
                encoded = true;
                log.add(event.toString());
            } else {
                machine.apply(event);
                if (event.is(RunnerEvent.STEP)) {
                    record.add(event);
                } else {
                    log.add(event.toString());
                }
            }
        } catch (JsonException | IOException | IllegalStateException error) {
            log.add(event + ": " + error.getMessage());
        }
        changed.run();
    }

    private void ended(int code, Integer signal) {
        process = null;
        record.close(log);
        boolean whole = !encodes || encoded && code == 0;
        try {
            if (encodes && whole && trainsWhatIsEncoded()) {
                return;
            }
        } catch (IOException error) {
            fail(error);
            return;
        }
        machine.exited(code, signal, null, storedStep());
        log.add(machine.message());
        if (!whole || machine.state() == RunState.DONE) {
            removeBatches();
        }
        if (!waits()) {
            pausedByPolicy = false;
            marker.clear();
        }
        changed.run();
    }

    /** Keeps the batches, which are whole; false if an end was asked for meanwhile. */
    private boolean trainsWhatIsEncoded() throws IOException {
        run.folder().keepBatches();
        encodes = false;
        if (!machine.encoded().isActive()) {
            return false;
        }
        train();
        changed.run();
        return true;
    }

    private void removeBatches() {
        try {
            run.folder().removeBatches();
        } catch (IOException error) {
            log.add(error.getMessage());
        }
    }

    private void fail(IOException error) {
        process = null;
        record.close(log);
        machine.exited(1, null, null, storedStep());
        notice = error.getMessage();
        log.add(error.getMessage());
        marker.clear();
        changed.run();
    }

    private long storedStep() {
        try {
            return run.folder().storedStep();
        } catch (IOException error) {
            log.add(error.getMessage());
            return 0;
        }
    }

    private void requireIdle() {
        if (isBusy()) {
            throw new IllegalStateException("the run " + run.name() + " is going on: stop it first");
        }
    }

    private final class Follower implements RunnerProcess.Listener {
        @Override
        public void onEvent(RunnerEvent event) {
            take(event);
        }

        @Override
        public void onLog(String line) {
            log.add(line);
            changed.run();
        }

        @Override
        public void onExit(int code, Integer signal) {
            ended(code, signal);
        }
    }
}
