package dev.lowpeak.demo;

import dev.lowpeak.core.RunnerEvent;
import dev.lowpeak.core.RunnerProcess;
import java.util.concurrent.Executor;

/** What a runner tells, on another thread than its own, in the order in which it was told. */
final class HandedOver implements RunnerProcess.Listener {
    private final Executor executor;
    private final RunnerProcess.Listener listener;

    HandedOver(Executor executor, RunnerProcess.Listener listener) {
        this.executor = executor;
        this.listener = listener;
    }

    @Override
    public void onEvent(RunnerEvent event) {
        executor.execute(() -> listener.onEvent(event));
    }

    @Override
    public void onLog(String line) {
        executor.execute(() -> listener.onLog(line));
    }

    @Override
    public void onExit(int code, Integer signal) {
        executor.execute(() -> listener.onExit(code, signal));
    }
}
