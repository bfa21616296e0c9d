package dev.lowpeak.core;

import java.util.Collections;
import java.util.List;

/** What an artifact's manifest says that the app shows. Bytes, tokens. */
public final class BundleInfo {
    private final String modelName;
    private final String id;
    private final long budgetBytes;
    private final long plannedPeakBytes;
    private final long plannedAnonymousBytes;
    private final List<Long> seqLens;
    private final long batchSize;
    private final boolean hasTokenizer;
    private final long totalBytes;

    BundleInfo(
            String modelName,
            String id,
            List<Plan> plans,
            boolean hasTokenizer,
            long totalBytes,
            List<Long> seqLens,
            long batchSize) {
        this.modelName = modelName;
        this.id = id;
        this.budgetBytes = plans.get(plans.size() - 1).budgetBytes;
        this.plannedPeakBytes = plans.stream().mapToLong(plan -> plan.peakBytes).max().getAsLong();
        this.plannedAnonymousBytes = plans.stream().mapToLong(plan -> plan.anonymousBytes).max().getAsLong();
        this.seqLens = Collections.unmodifiableList(seqLens);
        this.batchSize = batchSize;
        this.hasTokenizer = hasTokenizer;
        this.totalBytes = totalBytes;
    }

    /** Of one batch shape. */
    static final class Plan {
        final long budgetBytes;
        final long peakBytes;
        final long anonymousBytes;

        Plan(long budgetBytes, long peakBytes, long anonymousBytes) {
            this.budgetBytes = budgetBytes;
            this.peakBytes = peakBytes;
            this.anonymousBytes = anonymousBytes;
        }
    }

    public String modelName() {
        return modelName;
    }

    /** SHA-256 of the manifest, which every checkpoint of its runs names. */
    public String id() {
        return id;
    }

    /** What all of the runner's process may hold. */
    public long budgetBytes() {
        return budgetBytes;
    }

    /** What it will hold at most, mapped weights included. */
    public long plannedPeakBytes() {
        return plannedPeakBytes;
    }

    /** The part of it that cannot be evicted. */
    public long plannedAnonymousBytes() {
        return plannedAnonymousBytes;
    }

    /** Of the batches, ascending. */
    public List<Long> seqLens() {
        return seqLens;
    }

    public long batchSize() {
        return batchSize;
    }

    /** Whether text can be encoded on the phone. */
    public boolean hasTokenizer() {
        return hasTokenizer;
    }

    /** Of all files. */
    public long totalBytes() {
        return totalBytes;
    }
}
