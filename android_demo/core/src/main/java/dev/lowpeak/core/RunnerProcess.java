package dev.lowpeak.core;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A lowpeak-runner that was started, and what it tells.
 *
 * <p>It is started by the system's shell, which tells the process's number first and then becomes the runner. Java's
 * Process.destroy would close the pipe that the last events come through, and Android 9 has no Process.pid.
 */
public final class RunnerProcess {
    /** Called on the process's own threads, which may not wait for its end; events and the end in their order. */
    public interface Listener {
        void onEvent(RunnerEvent event);

        /** A line of the error stream, or one of the output that is no event. */
        void onLog(String line);

        /** Once, after the last event. {@code signal} is null when none ended the process. */
        void onExit(int code, Integer signal);
    }

    private static final String SHELL = "sh";
    private static final String BECOME = "echo $$ && exec \"$@\"";

    private final Process process;
    private final Listener listener;
    private final String number;

    private RunnerProcess(Process process, Listener listener, String number) {
        this.process = process;
        this.listener = listener;
        this.number = number;
    }

    /**
     * Starts the program and its arguments. {@code environment} is added to that of this process.
     *
     * <p>Throws IOException when the folder or the shell is not there; a program that cannot be started ends with
     * code 126 or 127 and a line in the log.
     */
    public static RunnerProcess start(
            List<String> command, File folder, Map<String, String> environment, Listener listener)
            throws IOException {
        List<String> whole = new ArrayList<>(Arrays.asList(SHELL, "-c", BECOME, SHELL));
        whole.addAll(command);
        ProcessBuilder builder = new ProcessBuilder(whole).directory(folder);
        builder.environment().putAll(environment);
        Process process = builder.start();
        process.getOutputStream().close();
        BufferedReader output = lines(process.getInputStream());
        String number = output.readLine();
        if (number == null || !number.matches("[0-9]+")) {
            process.destroyForcibly();
            throw new IOException("the shell did not start " + command.get(0) + ": it said " + number);
        }
        RunnerProcess made = new RunnerProcess(process, listener, number);
        made.follow(output);
        return made;
    }

    /** SIGTERM: the runner leaves its step, writes the checkpoint and ends. Returns at once. */
    public void terminate() throws IOException {
        signal("TERM");
    }

    /** SIGKILL: what was not in a checkpoint is lost. */
    public void kill() throws IOException {
        signal("KILL");
    }

    public boolean isAlive() {
        return process.isAlive();
    }

    /** Whether it has ended within the time. */
    public boolean waitFor(long milliseconds) throws InterruptedException {
        return process.waitFor(milliseconds, TimeUnit.MILLISECONDS);
    }

    /** SIGTERM, and SIGKILL if it has not ended in time. False: it had to be killed. */
    public boolean end(long milliseconds) throws IOException, InterruptedException {
        terminate();
        if (waitFor(milliseconds)) {
            return true;
        }
        kill();
        process.waitFor();
        return false;
    }

    private void signal(String name) throws IOException {
        if (!process.isAlive()) {
            return;
        }
        Process sent = new ProcessBuilder(SHELL, "-c", "kill -" + name + " " + number)
                .redirectErrorStream(true).start();
        try {
            String said = lines(sent.getInputStream()).readLine();
            if (sent.waitFor() != 0 && process.isAlive()) {
                throw new IOException("SIG" + name + " cannot be sent to the runner: " + said);
            }
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    private void follow(BufferedReader output) {
        Thread errors = new Thread(() -> eachLine(lines(process.getErrorStream()), listener::onLog), "runner log");
        errors.start();
        new Thread(() -> {
            eachLine(output, this::take);
            join(errors);
            int code = exitCode();
            listener.onExit(code, Signals.ofExitCode(code));
        }, "runner events").start();
    }

    private void take(String line) {
        RunnerEvent event;
        try {
            event = RunnerEvent.parse(line);
        } catch (JsonException error) {
            // A runner that is killed in the middle of a line leaves half of one.
            listener.onLog(line);
            return;
        }
        listener.onEvent(event);
    }

    private interface Taker {
        void take(String line);
    }

    private static void eachLine(BufferedReader reader, Taker taker) {
        try {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                taker.take(line);
            }
        } catch (IOException error) {
            // The pipe is closed when the process is destroyed.
        }
    }

    private int exitCode() {
        while (true) {
            try {
                return process.waitFor();
            } catch (InterruptedException error) {
                // Nobody interrupts this thread, which is our own; the end is still to be told.
            }
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    private static BufferedReader lines(InputStream stream) {
        return new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8));
    }
}
