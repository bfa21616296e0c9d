package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** With programs of the shell; a real runner is started by RealRunTest. */
public class RunnerProcessTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final BlockingQueue<String> told = new LinkedBlockingQueue<>();

    private RunnerProcess start(String script) throws IOException {
        return start("sh", "-c", script, "program", "an argument with 'blanks' and $HOME");
    }

    private RunnerProcess start(String... command) throws IOException {
        return RunnerProcess.start(Arrays.asList(command), folder.getRoot(),
                Collections.singletonMap("GIVEN", "from the app"), new RunnerProcess.Listener() {
                    @Override
                    public void onEvent(RunnerEvent event) {
                        told.add(event.kind());
                    }

                    @Override
                    public void onLog(String line) {
                        told.add("log " + line);
                    }

                    @Override
                    public void onExit(int code, Integer signal) {
                        told.add("exit " + code + " " + signal);
                    }
                });
    }

    private String next() throws InterruptedException {
        return String.valueOf(told.poll(20, TimeUnit.SECONDS));
    }

    @Test
    public void eventsThenTheEnd() throws Exception {
        RunnerProcess process = start("echo '{\"event\":\"ready\"}'; echo '{\"event\":\"done\",\"step\":1}'; exit 3");
        assertEquals("ready", next());
        assertEquals("done", next());
        assertEquals("exit 3 null", next());
        assertTrue(process.waitFor(5000) && !process.isAlive());
        process.terminate();
    }

    @Test
    public void argumentsFolderAndEnvironmentArriveAsTheyAre() throws Exception {
        start("pwd; echo \"$GIVEN\"; echo \"$1\"");
        assertEquals("log " + folder.getRoot().getCanonicalPath(), next());
        assertEquals("log from the app", next());
        assertEquals("log an argument with 'blanks' and $HOME", next());
        assertEquals("exit 0 null", next());
    }

    @Test
    public void whatIsToldAfterSigtermIsHeard() throws Exception {
        RunnerProcess process = start("trap 'echo \"{\\\"event\\\":\\\"stopped\\\"}\"; exit 0' TERM\n"
                + "echo '{\"event\":\"ready\"}'; while :; do sleep 0.05; done");
        assertEquals("ready", next());
        assertTrue(process.end(10_000));
        assertEquals("stopped", next());
        assertEquals("exit 0 null", next());
    }

    @Test
    public void whatDoesNotEndIsKilled() throws Exception {
        RunnerProcess process = start("trap '' TERM; echo '{\"event\":\"ready\"}'; while :; do sleep 0.05; done");
        assertEquals("ready", next());
        assertFalse(process.end(300));
        assertEquals("exit 137 9", next());
    }

    @Test
    public void halfALineAndTheErrorStreamAreInTheLog() throws Exception {
        start("printf '{\"event\":\"st'; echo problem >&2");
        String[] lines = {next(), next()};
        Arrays.sort(lines);
        assertEquals("[log problem, log {\"event\":\"st]", Arrays.toString(lines));
        assertEquals("exit 0 null", next());
    }

    @Test
    public void programsAndFoldersThatAreNotThere() throws Exception {
        start("/nothing/lowpeak-runner");
        assertTrue(next().contains("/nothing/lowpeak-runner"));
        assertEquals("exit 127 null", next());
        assertThrows(IOException.class, () -> RunnerProcess.start(
                Arrays.asList("true"), new File("/nothing"), Collections.emptyMap(), null));
    }
}
