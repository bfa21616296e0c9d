package dev.lowpeak.core;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;

/** Runs a real runner and takes its events into a RunMachine, as the app's service does. */
final class Training implements RunnerProcess.Listener {
    final RunMachine machine;
    final TreeMap<Long, Double> losses = new TreeMap<>();
    final List<String> log = new ArrayList<>();
    final List<RunState> states = new ArrayList<>();

    private final RunFolder run;
    private final BiConsumer<Training, RunnerEvent> onStep;
    private final CountDownLatch started = new CountDownLatch(1);
    private final CountDownLatch ended = new CountDownLatch(1);
    private RunnerProcess process;
    private Throwable problem;

    private Training(RunFolder run, RunMachine machine, BiConsumer<Training, RunnerEvent> onStep) {
        this.run = run;
        this.machine = machine;
        this.onStep = onStep;
    }

    /** To its end. {@code before} stands before the runner's path; {@code onStep} is called in each step. */
    static Training run(
            RunFolder run, RunMachine machine, List<String> before, BiConsumer<Training, RunnerEvent> onStep)
            throws IOException, InterruptedException {
        Training made = new Training(run, machine, onStep);
        List<String> command = new ArrayList<>(before);
        command.addAll(Arrays.asList(Prepared.runner().getPath(), RunFolder.JOB, "--metrics", "--ops-library",
                Prepared.opsLibrary().getPath()));
        long stored = run.storedStep();
        if (stored > 0) {
            command.add("--resume");
        }
        machine.started(stored);
        made.states.add(machine.state());
        made.process = RunnerProcess.start(command, run.folder(), Collections.emptyMap(), made);
        made.started.countDown();
        if (!made.ended.await(120, TimeUnit.SECONDS)) {
            made.process.kill();
            throw new AssertionError("the runner has not ended: " + made.losses.size() + " steps, " + made.log);
        }
        if (made.problem != null) {
            throw new AssertionError("the listener failed", made.problem);
        }
        return made;
    }

    static Training run(RunFolder run, RunMachine machine) throws IOException, InterruptedException {
        return run(run, machine, Collections.emptyList(), (training, event) -> {});
    }

    RunnerProcess process() throws InterruptedException {
        started.await();
        return process;
    }

    @Override
    public void onEvent(RunnerEvent event) {
        guarded(() -> {
            RunState state = machine.apply(event);
            if (states.get(states.size() - 1) != state) {
                states.add(state);
            }
            if (event.is(RunnerEvent.STEP)) {
                losses.put(event.integer("step"), event.number("loss"));
                onStep.accept(this, event);
            }
        });
    }

    @Override
    public void onLog(String line) {
        synchronized (log) {
            log.add(line);
        }
    }

    @Override
    public void onExit(int code, Integer signal) {
        guarded(() -> states.add(machine.exited(code, signal, null, run.storedStep())));
        ended.countDown();
    }

    private interface Work {
        void run() throws Exception;
    }

    private void guarded(Work work) {
        try {
            work.run();
        } catch (Exception | AssertionError error) {
            problem = error;
        }
    }
}
