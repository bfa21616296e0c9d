package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

public class RunMachineTest {
    private final RunMachine machine = new RunMachine();

    private RunState tell(String event) throws JsonException {
        return machine.apply(RunnerEvent.parse(event));
    }

    private void expect(RunState state, String message) {
        assertEquals(state, machine.state());
        assertEquals(message, machine.message());
    }

    @Test
    public void aWholeRun() throws JsonException {
        expect(RunState.IDLE, "Nothing is being trained.");
        machine.started(0);
        expect(RunState.LOADING, "Loading.");
        assertEquals(RunState.LOADING, tell("{\"event\":\"ready\",\"rss_bytes\":1}"));
        assertEquals(RunState.LOADING, tell("{\"event\":\"note\",\"note\":\"2 threads\"}"));
        tell("{\"event\":\"step\",\"step\":0,\"loss\":1.0,\"seconds\":1.0}");
        expect(RunState.TRAINING, "Training: 1 step made.");
        tell("{\"event\":\"step\",\"step\":1,\"loss\":1.0,\"seconds\":1.0}");
        tell("{\"event\":\"done\",\"step\":2}");
        expect(RunState.DONE, "Done: 2 steps.");
        assertEquals(RunState.DONE, machine.exited(0, null, null, 2));
        assertEquals(2, machine.storedStep());
    }

    @Test
    public void pausedAndResumed() throws JsonException {
        machine.started(0);
        tell("{\"event\":\"step\",\"step\":0,\"loss\":1.0,\"seconds\":1.0}");
        machine.pauseAsked("the phone is too hot (severe)");
        assertTrue(machine.isEnding());
        expect(RunState.TRAINING, "Pausing, as the phone is too hot (severe): the checkpoint is being written.");
        tell("{\"event\":\"step\",\"step\":1,\"loss\":1.0,\"seconds\":1.0}");
        assertTrue(machine.message().startsWith("Pausing"));
        tell("{\"event\":\"stopped\",\"step\":2,\"reason\":\"SIGTERM\"}");
        expect(RunState.PAUSED,
                "Paused at step 2, as the phone is too hot (severe). It can be continued from there.");
        machine.exited(0, null, null, 2);
        machine.resumed(2);
        expect(RunState.LOADING, "Loading, to continue from step 2.");
        assertFalse(machine.isEnding());
    }

    @Test
    public void stopReplacesAPauseThatIsComingOrIsThere() throws JsonException {
        machine.started(0);
        machine.pauseAsked(Texts.REASON_USER);
        machine.stopAsked(Texts.REASON_USER);
        tell("{\"event\":\"stopped\",\"step\":0,\"reason\":\"SIGTERM\"}");
        expect(RunState.STOPPED, "Stopped at step 0, as you asked for it. No step was made.");
        machine.started(0);
        machine.pauseAsked("the phone is not charging");
        tell("{\"event\":\"stopped\",\"step\":7,\"reason\":\"SIGTERM\"}");
        machine.stopAsked(Texts.REASON_USER);
        expect(RunState.STOPPED, "Stopped at step 7, as you asked for it. It can be continued from there.");
    }

    @Test
    public void stoppedByTheRunnerItself() throws JsonException {
        String[][] told = {
            {"SIGTERM", "STOPPED", "as the system asked it to end (SIGTERM). It"},
            {"nobody reads the events", "STOPPED", "as the app no longer listened to it. It"},
            {"memory pressure: tasks waited", "STOPPED", "as memory pressure: tasks waited. It"},
            {"memory budget: the next step needs 12500000 bytes of anonymous memory, the budget is 10000000", "FAILED",
                "as the next step needs 12.5 MB of memory and the artifact's budget is 10.0 MB: compile it for a "
                    + "larger budget or shorter sequences. It"},
        };
        for (String[] each : told) {
            machine.started(0);
            tell("{\"event\":\"stopped\",\"step\":4,\"reason\":\"" + each[0] + "\"}");
            expect(RunState.valueOf(each[1]), "Stopped at step 4, " + each[2] + " can be continued from there.");
        }
    }

    @Test
    public void anErrorNamesTheStepThatWasKept() throws JsonException {
        machine.started(0);
        tell("{\"event\":\"error\",\"class\":\"DataError\",\"message\":\"the loss is nan\",\"numbers\":{}}");
        expect(RunState.FAILED, "The loss is nan. There is no checkpoint yet: start again from the beginning.");
        machine.exited(1, null, null, 12);
        expect(RunState.FAILED, "The loss is nan. You can continue from step 12.");
        assertEquals("DataError", machine.error());
        machine.started(12);
        assertEquals("", machine.error());
    }

    @Test
    public void endedWhileItMakesTheExamplesReady() throws JsonException {
        String anew = " The examples were not all ready: they are made ready anew.";
        machine.started(0);
        machine.encodes();
        expect(RunState.LOADING, "Making the examples ready.");
        machine.pauseAsked("the phone is too hot (severe)");
        expect(RunState.LOADING, "Pausing, as the phone is too hot (severe).");
        tell("{\"event\":\"stopped\",\"step\":0,\"reason\":\"SIGTERM\"}");
        expect(RunState.PAUSED, "Paused at step 0, as the phone is too hot (severe). No step was made." + anew);
        machine.started(20);
        machine.encodes();
        machine.stopAsked(Texts.REASON_USER);
        expect(RunState.LOADING, "Stopping, as you asked for it.");
        machine.exited(143, Signals.TERM, null, 20);
        expect(RunState.STOPPED, "Stopped at step 20, as you asked for it. It can be continued from there." + anew);
        machine.started(0);
        machine.encodes();
        tell("{\"event\":\"stopped\",\"step\":0,\"reason\":\"SIGTERM\"}");
        expect(RunState.STOPPED,
                "Stopped at step 0, as the system asked it to end (SIGTERM). No step was made." + anew);
        machine.started(0);
        machine.encodes();
        machine.exited(137, Signals.KILL, null, 0);
        expect(RunState.FAILED, "It ended while the examples were made ready: the system ended it without a word "
                + "(SIGKILL), most likely to get memory. There is no checkpoint yet: start again from the beginning.");
        assertEquals("The app ended while it made the examples ready: the system ended it to get memory. You can "
                + "continue from step 20.",
                Texts.appEnded(ExitReasons.ofAndroid(ExitReasons.LOW_MEMORY, 0, true), 20, true));
    }

    @Test
    public void examplesThatAreReadyAreTrainedUnlessAnEndWasAskedFor() throws JsonException {
        machine.started(20);
        refused("a run that is LOADING cannot be ready to train", machine::encoded);
        machine.encodes();
        machine.encoded();
        expect(RunState.LOADING, "Loading, to continue from step 20.");
        machine.exited(1, null, null, 20);
        machine.started(20);
        machine.encodes();
        machine.pauseAsked(Texts.REASON_USER);
        machine.encoded();
        expect(RunState.PAUSED, "Paused at step 20, as you asked for it. It can be continued from there.");
        machine.exited(0, null, null, 20);
        assertEquals(RunState.PAUSED, machine.state());
    }

    @Test
    public void anErrorOfTheExamplesSaysHowToMendThem() throws JsonException {
        String wrong = "{\"event\":\"error\",\"class\":\"DataError\",\"message\":\"line 3: has no text\","
                + "\"numbers\":{}}";
        String[] hints = {"Mend the examples and start again.",
            "The run has its 20 steps; its examples stay as they were: mend yours and start a new run."};
        for (int i = 0; i < hints.length; i++) {
            machine.started(20 * i);
            machine.encodes();
            tell(wrong);
            machine.exited(1, null, null, 20 * i);
            expect(RunState.FAILED, "Line 3: has no text. " + hints[i]);
        }
        machine.started(0);
        machine.encodes();
        tell("{\"event\":\"error\",\"class\":\"EnvironmentProblem\",\"message\":\"the disk is full\","
                + "\"numbers\":{}}");
        expect(RunState.FAILED, "The disk is full. There is no checkpoint yet: start again from the beginning.");
    }

    @Test
    public void deathsByTheirReason() throws JsonException {
        machine.started(0);
        machine.exited(137, Signals.KILL, null, 0);
        expect(RunState.FAILED, "Training ended before its first step: the system ended it without a word (SIGKILL), "
                + "most likely to get memory. There is no checkpoint yet: start again from the beginning.");
        machine.started(0);
        tell("{\"event\":\"step\",\"step\":60,\"loss\":1.0,\"seconds\":1.0}");
        machine.exited(137, Signals.KILL, ExitReasons.ofAndroid(ExitReasons.LOW_MEMORY, 0, true), 50);
        expect(RunState.FAILED, "Training ended after step 61: the system ended it to get memory. "
                + "You can continue from step 50.");
        machine.started(50);
        machine.exited(0, null, null, 50);
        expect(RunState.FAILED, "Training ended before its first step: the runner ended with code 0 and did not say "
                + "why. You can continue from step 50.");
    }

    @Test
    public void killedWhileItWasToEnd() throws JsonException {
        machine.started(0);
        tell("{\"event\":\"step\",\"step\":60,\"loss\":1.0,\"seconds\":1.0}");
        machine.stopAsked(Texts.REASON_USER);
        machine.exited(137, Signals.KILL, null, 50);
        expect(RunState.STOPPED, "Stopped, as you asked for it. There was no time for a checkpoint: steps after "
                + "step 50 are made again.");
        machine.started(50);
        machine.pauseAsked(Texts.REASON_USER);
        machine.exited(143, Signals.TERM, null, 50);
        expect(RunState.PAUSED, "Paused, as you asked for it. It can be continued from there.");
    }

    @Test
    public void whatTheStateDoesNotAllowChangesNothing() throws JsonException {
        refused("a run that is IDLE cannot be paused", () -> machine.pauseAsked("x"));
        refused("a run that is IDLE cannot be stopped", () -> machine.stopAsked("x"));
        refused("a run that is IDLE cannot be resumed", () -> machine.resumed(0));
        refused("a run that is IDLE cannot be ended", () -> machine.exited(0, null, null, 0));
        refused("a run that is IDLE cannot be told \"ready\"", () -> tell("{\"event\":\"ready\"}"));
        machine.started(0);
        refused("a run that is LOADING cannot be started", () -> machine.started(0));
        machine.stopAsked("x");
        refused("a run that is LOADING and about to end cannot be paused", () -> machine.pauseAsked("x"));
        refused("a run that is LOADING and about to end cannot be stopped", () -> machine.stopAsked("x"));
        tell("{\"event\":\"stopped\",\"step\":0,\"reason\":\"SIGTERM\"}");
        refused("a run that is STOPPED cannot be told \"done\"", () -> tell("{\"event\":\"done\",\"step\":1}"));
    }

    private void refused(String message, org.junit.function.ThrowingRunnable action) {
        RunState before = machine.state();
        String text = machine.message();
        assertEquals(message, assertThrows(IllegalStateException.class, action).getMessage());
        expect(before, text);
    }
}
