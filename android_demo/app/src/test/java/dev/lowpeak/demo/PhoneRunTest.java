package dev.lowpeak.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import dev.lowpeak.core.Example;
import dev.lowpeak.core.Examples;
import dev.lowpeak.core.RunState;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** A run that is born on the phone: text typed there, encoded, trained and compared by the real lowpeak-runner. */
public final class PhoneRunTest {
    private static final String ARTIFACT = "artifact";
    private static final long STEPS = 20;
    private static final long SECONDS = 120;

    @Rule
    public final TemporaryFolder temporary = new TemporaryFolder();

    private final ExecutorService main = Executors.newSingleThreadExecutor();
    private final RunLog log = new RunLog();
    private Storage storage;
    private Trainer trainer;
    private Comparison comparison;

    @Before
    public void typed() throws Exception {
        storage = new Storage(temporary.getRoot());
        File libraries = temporary.newFolder("lib");
        link(new File(libraries, "liblowpeak_runner.so"), "lowpeak.runner");
        link(new File(libraries, "liblowpeak_ops.so"), "lowpeak.ops");
        Storage.made(storage.artifacts());
        link(storage.artifact(ARTIFACT), "lowpeak.text_artifact");
        RunnerCommand command = new RunnerCommand(libraries, storage.work());
        trainer = new Trainer(command, new RunMarker(storage.running()), log, main, () -> {});
        comparison = new Comparison(command, log, main, () -> {});
        Examples examples = Examples.open(storage.examples());
        for (String text : new String[] {"hello world", "the quick brown fox", "jumps over the lazy dog"}) {
            examples.add(Example.text(text));
        }
    }

    @After
    public void end() throws Exception {
        on(() -> {
            trainer.kill();
            comparison.cancel();
            return null;
        });
        until(() -> !trainer.isWorking() && !comparison.isBusy());
        main.shutdown();
    }

    @Test
    public void isEncodedTrainedAndMadeLonger() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        train(run);
        assertEquals(STEPS, run.folder().storedStep());
        assertEquals(STEPS, trainer.charts().step());
        assertFalse("the batches are the user's data", run.folder().batches().exists());

        run.extendTo(2 * STEPS);
        train(run);
        assertEquals(2 * STEPS, run.folder().storedStep());
        assertEquals(2 * STEPS, Run.open(storage, run.name()).totalSteps());
    }

    @Test
    public void isPausedAndGoesOnWithItsBatches() throws Exception {
        Run run = Run.create(storage, ARTIFACT, 10 * STEPS);
        on(() -> {
            trainer.start(run);
            return null;
        });
        until(() -> trainer.charts().step() >= STEPS);
        on(() -> {
            trainer.pause("of the test");
            return null;
        });
        until(() -> trainer.state() == RunState.PAUSED && !trainer.isBusy());
        assertTrue(run.folder().batches().exists());
        train(run);
        assertEquals(10 * STEPS, run.folder().storedStep());
    }

    @Test
    public void examplesThatDoNotFitAreToldAndNothingIsTrained() throws Exception {
        Files.write(storage.examples().toPath(), "{\"text\": \"\"}\n".getBytes(StandardCharsets.UTF_8));
        Run run = Run.create(storage, ARTIFACT, STEPS);
        on(() -> {
            trainer.start(run);
            return null;
        });
        until(() -> trainer.state() == RunState.FAILED && !trainer.isBusy());
        assertFalse(run.folder().job().exists());
        assertTrue(log.text(), trainer.message().contains("line 1: has no token to train on"));
    }

    @Test
    public void lossAndTextAreComparedWithoutAndWithTheAdapter() throws Exception {
        Run run = Run.create(storage, ARTIFACT, 10 * STEPS);
        train(run);
        on(() -> {
            comparison.start(run, run.folder().examples(), "the ", false);
            return null;
        });
        until(() -> !comparison.isBusy());
        assertEquals(log.text(), "", comparison.message());
        assertTrue(log.text(), comparison.lossAfter() < comparison.lossBefore());
        assertFalse(log.text(), comparison.textBefore().isEmpty());
        assertFalse(log.text(), comparison.textAfter().isEmpty());
    }

    @Test
    public void withoutAnAdapterThereIsNothingToCompare() throws Exception {
        Run run = Run.create(storage, ARTIFACT, STEPS);
        try {
            on(() -> {
                comparison.start(run, null, "hello", false);
                return null;
            });
            throw new AssertionError("it was started");
        } catch (IOException error) {
            assertTrue(error.getMessage(), error.getMessage().contains("no checkpoint yet"));
        }
    }

    @Test
    public void importedLinesAreTrained() throws Exception {
        byte[] lines = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n".getBytes(StandardCharsets.UTF_8);
        assertEquals(2, Examples.open(storage.examples()).importLines(new ByteArrayInputStream(lines)).added());
        Run run = Run.create(storage, ARTIFACT, STEPS);
        assertEquals(5, Examples.open(run.folder().examples()).size());
        train(run);
    }

    private void train(Run run) throws Exception {
        on(() -> {
            trainer.start(run);
            return null;
        });
        until(() -> !trainer.isBusy());
        assertEquals(trainer.message() + "\n" + log.text(), RunState.DONE, trainer.state());
    }

    private void on(Callable<Void> task) throws Exception {
        try {
            main.submit(task).get(SECONDS, TimeUnit.SECONDS);
        } catch (java.util.concurrent.ExecutionException error) {
            throw error.getCause() instanceof IOException ? (IOException) error.getCause() : error;
        }
    }

    private void until(BooleanSupplier condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
        while (!main.submit(condition::getAsBoolean).get()) {
            if (System.nanoTime() > end) {
                throw new AssertionError(trainer.state() + ": " + trainer.message() + "\n" + log.text());
            }
            Thread.sleep(5);
        }
    }

    private static void link(File link, String property) throws IOException {
        Files.createSymbolicLink(link.toPath(), new File(System.getProperty(property)).toPath());
    }
}
