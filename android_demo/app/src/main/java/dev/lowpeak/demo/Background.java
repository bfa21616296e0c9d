package dev.lowpeak.demo;

import dev.lowpeak.core.BundleException;
import java.io.IOException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Reads and writes large files one after the other, away from the main thread; outlives the screen's turns. */
final class Background {
    /** Something that takes long. */
    interface Task {
        /** Returns what the user is told of it. */
        String run() throws IOException, BundleException;
    }

    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private final Executor main;
    private final Runnable changed;
    private String message = "";
    private int tasks;

    Background(Executor main, Runnable changed) {
        this.main = main;
        this.changed = changed;
    }

    /** {@code begun}: what the user is told meanwhile. */
    void start(String begun, Task task) {
        tasks++;
        tell(begun);
        worker.execute(() -> {
            String ended;
            try {
                ended = task.run();
            } catch (IOException | BundleException | RuntimeException error) {
                // Providers of documents throw what they like, such as SecurityException.
                ended = error.getMessage() == null ? error.toString() : error.getMessage();
            }
            String told = ended;
            main.execute(() -> {
                tasks--;
                tell(told);
            });
        });
    }

    /** From any thread: how far the task is. */
    void progress(String text) {
        main.execute(() -> {
            if (isBusy()) {
                tell(text);
            }
        });
    }

    /** What was begun is ended, nothing more is taken. */
    void close() {
        worker.shutdown();
    }

    boolean isBusy() {
        return tasks > 0;
    }

    String message() {
        return message;
    }

    void tell(String text) {
        message = text;
        changed.run();
    }
}
