package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import org.junit.Test;

public class JobsTest {
    @Test
    public void trainHasThePythonJobsFields() throws JsonException {
        TrainJob job = TrainJob.builder().artifact("../artifact").data("abc").totalSteps(10).seed(5).accumulate(2)
                .firstStep(4).position(8).checkpointEvery(3)
                .optimizer(OptimizerOptions.builder().learningRate(1e-3).clipNorm(1.0).warmupSteps(2).build()).build();
        assertEquals("{\"manifest\":\"../artifact/manifest.json\",\"artifact\":\"../artifact\",\"work\":\".\","
                + "\"batches\":\"batches\",\"streamed\":false,\"data\":\"abc\",\"position\":8,\"first_step\":4,"
                + "\"total_steps\":10,\"accumulate\":2,\"seed\":5,\"optimizer\":{\"algorithm\":\"adamw\","
                + "\"learning_rate\":0.001,\"weight_decay\":0.0,\"betas\":[0.9,0.999],\"epsilon\":1.0E-8,"
                + "\"momentum\":0.0,\"clip_norm\":1.0,\"warmup_steps\":2,\"schedule\":\"constant\"},"
                + "\"checkpoint\":\"checkpoint.safetensors\",\"checkpoint_every\":3,\"expect\":null}", job.toJson());
        assertEquals(job.toJson(), TrainJob.parse(job.toJson()).toJson());
        assertEquals(10, TrainJob.parse(job.toJson()).totalSteps());
    }

    @Test
    public void theOthersHaveTheirs() {
        assertEquals("{\"artifact\":\"a\",\"data\":\"examples.jsonl\",\"work\":\".\",\"batches\":\"batches\","
                + "\"seed\":1,\"position\":0,\"first_step\":0,\"total_steps\":3,\"accumulate\":1}",
                EncodeJob.builder().artifact("a").seed(1).totalSteps(3).build().toJson());
        assertEquals("{\"artifact\":\"a\",\"work\":\".\",\"batches\":\"evaluation-batches\",\"count\":4,"
                + "\"checkpoint\":null}", EvalJob.builder().artifact("a").count(4).build().toJson());
        assertEquals("{\"artifact\":\"a\",\"work\":\".\",\"checkpoint\":\"c\",\"prompt\":null,\"messages\":"
                + "[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":64,\"temperature\":0.0,\"seed\":0}",
                GenerateJob.builder().artifact("a").checkpoint("c").prompt("x").question("Hi").build().toJson());
    }

    @Test
    public void valuesThatMakeNoSenseAreRefused() {
        TrainJob.Builder job = TrainJob.builder();
        assertMessage("total_steps must be 1 or more, not 0", () -> job.totalSteps(0));
        assertMessage("position must be 0 or more, not -1", () -> job.position(-1));
        assertMessage("artifact is not given", job::build);
        assertMessage("data is not given", job.artifact("a")::build);
        OptimizerOptions.Builder optimizer = OptimizerOptions.builder();
        assertMessage("learning_rate must be positive, not NaN", () -> optimizer.learningRate(Double.NaN));
        assertMessage("algorithm must be adamw or sgd, not adam", () -> optimizer.algorithm("adam"));
        assertMessage("neither a prompt nor a question is given", GenerateJob.builder().artifact("a")::build);
    }

    private static void assertMessage(String message, org.junit.function.ThrowingRunnable action) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, action).getMessage());
    }
}
