package dev.lowpeak.demo;

import dev.lowpeak.core.EncodeJob;
import dev.lowpeak.core.EvalJob;
import dev.lowpeak.core.Examples;
import dev.lowpeak.core.ExitReasons;
import dev.lowpeak.core.Files;
import dev.lowpeak.core.GenerateJob;
import dev.lowpeak.core.JsonException;
import dev.lowpeak.core.RunFolder;
import dev.lowpeak.core.RunnerEvent;
import dev.lowpeak.core.RunnerProcess;
import java.io.File;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Executor;

/**
 * Loss and text without and with a run's adapter, by one runner after the other: each within the artifact's budget.
 *
 * <p>On one thread, as {@link Trainer}.
 */
final class Comparison {
    static final long MAX_TOKENS = 48;
    /** More examples than this would take longer than anybody waits. */
    static final long MOST_BATCHES = 32;

    private static final long SEED = 0;
    private static final String JOB = "compare.json";
    /** Why an answer ends that nothing stopped. */
    private static final List<String> ENDS = Arrays.asList("end", "length");

    private enum Part { ENCODE, LOSS_BEFORE, LOSS_AFTER, TEXT_BEFORE, TEXT_AFTER }

    private final RunnerCommand command;
    private final RunLog log;
    private final Executor main;
    private final Runnable changed;
    private final Deque<Part> left = new ArrayDeque<>();

    private Part part;
    private Run run;
    private File evaluation;
    private String prompt = "";
    private boolean chat;
    private long batches;
    private RunnerProcess process;
    private boolean cancelled;
    private String message = "";
    private double lossBefore = Double.NaN;
    private double lossAfter = Double.NaN;
    private final StringBuilder textBefore = new StringBuilder();
    private final StringBuilder textAfter = new StringBuilder();

    Comparison(RunnerCommand command, RunLog log, Executor main, Runnable changed) {
        this.command = command;
        this.log = log;
        this.main = main;
        this.changed = changed;
    }

    /**
     * Takes the loss of {@code evaluation}, a JSONL file or null, and lets the model go on from the prompt, which is a
     * question where {@code chat}. Throws IOException when nothing could be started.
     */
    void start(Run compared, File evaluation, String prompt, boolean chat) throws IOException {
        if (isBusy()) {
            throw new IllegalStateException("a comparison is going on");
        }
        if (!compared.folder().hasCheckpoint()) {
            throw new IOException("the run has no checkpoint yet: there is no adapter to compare with");
        }
        this.run = compared;
        this.evaluation = evaluation;
        this.prompt = prompt;
        this.chat = chat;
        cancelled = false;
        message = "";
        lossBefore = lossAfter = Double.NaN;
        textBefore.setLength(0);
        textAfter.setLength(0);
        left.clear();
        if (evaluation != null) {
            left.addAll(Arrays.asList(Part.ENCODE, Part.LOSS_BEFORE, Part.LOSS_AFTER));
        }
        if (!prompt.isEmpty()) {
            left.addAll(Arrays.asList(Part.TEXT_BEFORE, Part.TEXT_AFTER));
        }
        next();
    }

    void cancel() throws IOException {
        cancelled = true;
        if (process != null) {
            process.terminate();
        }
    }

    boolean isBusy() {
        return part != null;
    }

    /** What goes wrong, or empty. */
    String message() {
        return message;
    }

    /** NaN as long as it is not known. */
    double lossBefore() {
        return lossBefore;
    }

    double lossAfter() {
        return lossAfter;
    }

    /** As far as it has come. */
    String textBefore() {
        return textBefore.toString();
    }

    String textAfter() {
        return textAfter.toString();
    }

    private void next() throws IOException {
        part = left.poll();
        if (part != null) {
            try {
                log.add("compares: " + part);
                Files.writeText(new File(run.folder().folder(), JOB), job());
                process = command.start(run.folder().folder(), new HandedOver(main, new Follower()), verb(), JOB);
            } catch (IOException error) {
                finish(error.getMessage());
                throw error;
            }
        }
        changed.run();
    }

    private String verb() {
        return part == Part.ENCODE ? "encode"
                : part == Part.LOSS_BEFORE || part == Part.LOSS_AFTER ? "eval" : "generate";
    }

    private String job() throws IOException {
        String artifact = run.artifact().getPath();
        boolean before = part == Part.LOSS_BEFORE || part == Part.TEXT_BEFORE;
        String checkpoint = before ? null : RunFolder.CHECKPOINT;
        switch (part) {
            case ENCODE:
                Storage.remove(new File(run.folder().folder(), RunFolder.EVALUATION_BATCHES));
                return EncodeJob.builder().artifact(artifact).data(evaluation.getPath()).seed(SEED)
                        .batches(RunFolder.EVALUATION_BATCHES)
                        .totalSteps(Math.min(MOST_BATCHES, Examples.open(evaluation).size())).build().toJson();
            case LOSS_BEFORE:
            case LOSS_AFTER:
                return EvalJob.builder().artifact(artifact).count(batches).checkpoint(checkpoint).build().toJson();
            default:
                GenerateJob.Builder job = GenerateJob.builder().artifact(artifact).checkpoint(checkpoint)
                        .maxTokens(MAX_TOKENS);
                return (chat ? job.question(prompt) : job.prompt(prompt)).build().toJson();
        }
    }

    private void take(RunnerEvent event) {
        try {
            if (event.is(RunnerEvent.ENCODED)) {
                batches = event.integer("batches");
            } else if (event.is(RunnerEvent.EVALUATED)) {
                double loss = event.number("loss");
                lossBefore = part == Part.LOSS_BEFORE ? loss : lossBefore;
                lossAfter = part == Part.LOSS_AFTER ? loss : lossAfter;
            } else if (event.is(RunnerEvent.TOKEN)) {
                (part == Part.TEXT_BEFORE ? textBefore : textAfter).append(event.text("text"));
            } else if (event.is(RunnerEvent.ERROR)) {
                message = event.text("message");
            } else if (event.is(RunnerEvent.STOPPED)) {
                message = event.text("reason");
            } else if (event.is(RunnerEvent.GENERATED) && !ENDS.contains(event.text("stop_reason"))) {
                message = event.text("stop_reason");
            }
        } catch (JsonException error) {
            message = error.getMessage();
        }
        if (!event.is(RunnerEvent.TOKEN)) {
            log.add(event.toString());
        }
        changed.run();
    }

    private void ended(int code, Integer signal) {
        process = null;
        if (cancelled || code != 0) {
            finish(!message.isEmpty() || cancelled ? message
                    : ExitReasons.ofExit(code, signal).text());
            changed.run();
            return;
        }
        try {
            next();
        } catch (IOException error) {
            changed.run();
        }
    }

    private void finish(String why) {
        part = null;
        left.clear();
        message = why;
        log.add(why);
    }

    private final class Follower implements RunnerProcess.Listener {
        @Override
        public void onEvent(RunnerEvent event) {
            take(event);
        }

        @Override
        public void onLog(String line) {
            log.add(line);
        }

        @Override
        public void onExit(int code, Integer signal) {
            ended(code, signal);
        }
    }
}
