package dev.lowpeak.core;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** How the adapter is updated: the fields and defaults of `lowpeak train`. */
public final class OptimizerOptions {
    private final String algorithm;
    private final double learningRate;
    private final double weightDecay;
    private final Double clipNorm;
    private final int warmupSteps;
    private final String schedule;

    private OptimizerOptions(Builder from) {
        algorithm = from.algorithm;
        learningRate = from.learningRate;
        weightDecay = from.weightDecay;
        clipNorm = from.clipNorm;
        warmupSteps = from.warmupSteps;
        schedule = from.schedule;
    }

    public static Builder builder() {
        return new Builder();
    }

    Map<String, Object> toMap() {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("algorithm", algorithm);
        made.put("learning_rate", learningRate);
        made.put("weight_decay", weightDecay);
        made.put("betas", Arrays.asList(0.9, 0.999));
        made.put("epsilon", 1e-8);
        made.put("momentum", 0.0);
        made.put("clip_norm", clipNorm);
        made.put("warmup_steps", warmupSteps);
        made.put("schedule", schedule);
        return made;
    }

    public static final class Builder {
        private String algorithm = "adamw";
        private double learningRate = 2e-4;
        private double weightDecay;
        private Double clipNorm;
        private int warmupSteps;
        private String schedule = "constant";

        /** adamw keeps two numbers a parameter, sgd none. */
        public Builder algorithm(String value) {
            algorithm = Require.oneOf("algorithm", value, "adamw", "sgd");
            return this;
        }

        /** After the warm-up. */
        public Builder learningRate(double value) {
            learningRate = Require.positive("learning_rate", value);
            return this;
        }

        public Builder weightDecay(double value) {
            weightDecay = Require.atLeast("weight_decay", value, 0);
            return this;
        }

        /** Gradients are scaled down to this global 2-norm; null: never. */
        public Builder clipNorm(Double value) {
            clipNorm = value == null ? null : (Double) Require.positive("clip_norm", value);
            return this;
        }

        /** Steps in which the learning rate rises. */
        public Builder warmupSteps(int value) {
            warmupSteps = (int) Require.atLeast("warmup_steps", value, 0);
            return this;
        }

        /** cosine falls to zero at the run's last step: such a run cannot be made longer later. */
        public Builder schedule(String value) {
            schedule = Require.oneOf("schedule", value, "constant", "cosine");
            return this;
        }

        public OptimizerOptions build() {
            return new OptimizerOptions(this);
        }
    }
}
