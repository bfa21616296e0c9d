package dev.lowpeak.core;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Whether a folder is a whole artifact for ExecuTorch, as lowpeak-runner checks it before it trains. */
public final class BundleCheck {
    public static final String MANIFEST = "manifest.json";

    private static final long SCHEMA_VERSION = 4;
    private static final String TARGET = "executorch";
    private static final String TOKENIZER = "tokenizer.json";

    private BundleCheck() {}

    /** Is told how many bytes were hashed so far, of how many. */
    public interface Progress {
        void hashed(long bytes, long of);
    }

    /** Names, sizes and the hash of every file. Throws BundleException with what is wrong and what to do. */
    public static BundleInfo check(File folder) throws BundleException {
        return check(folder, (bytes, of) -> {});
    }

    /** As {@code check}, with progress: hashing a large artifact takes seconds. */
    public static BundleInfo check(File folder, Progress progress) throws BundleException {
        try {
            String text = manifestOf(folder);
            JsonObject manifest = manifest(text);
            BundleInfo info = info(manifest, text);
            checkFiles(folder, manifest, info.totalBytes(), progress);
            return info;
        } catch (JsonException error) {
            throw new BundleException(MANIFEST + " of " + folder + ": " + error.getMessage()
                    + "; copy or compile the artifact again");
        } catch (IOException error) {
            throw new BundleException(folder + " cannot be read: " + error.getMessage());
        }
    }

    /** What the manifest says; no other file is looked at. Throws BundleException. */
    public static BundleInfo read(File folder) throws BundleException {
        try {
            String text = manifestOf(folder);
            return info(manifest(text), text);
        } catch (JsonException error) {
            throw new BundleException(MANIFEST + " of " + folder + ": " + error.getMessage()
                    + "; copy or compile the artifact again");
        } catch (IOException error) {
            throw new BundleException(folder + " cannot be read: " + error.getMessage());
        }
    }

    private static String manifestOf(File folder) throws IOException, BundleException {
        if (!folder.isDirectory()) {
            throw new BundleException(
                    "no artifact at " + folder + ": it is " + (folder.exists() ? "a file" : "missing"));
        }
        File file = new File(folder, MANIFEST);
        if (!file.isFile()) {
            throw new BundleException(folder + " is no artifact: it has no " + MANIFEST);
        }
        requireInside(folder, MANIFEST);
        return Files.readText(file);
    }

    private static JsonObject manifest(String text) throws JsonException, BundleException {
        JsonObject manifest = JsonObject.of(Json.parse(text), "the manifest");
        Object version = manifest.map().get("schema_version");
        if (!Long.valueOf(SCHEMA_VERSION).equals(version)) {
            throw new BundleException("the artifact has schema version " + version + ", this app reads "
                    + SCHEMA_VERSION + "; compile it again with the lowpeak that the app is of");
        }
        if (!manifest.text("target").equals(TARGET)) {
            throw new BundleException("the artifact was compiled for " + manifest.text("target")
                    + "; compile it again with target " + TARGET);
        }
        return manifest;
    }

    private static BundleInfo info(JsonObject manifest, String text) throws JsonException, BundleException {
        List<BundleInfo.Plan> plans = new ArrayList<>();
        List<Long> seqLens = new ArrayList<>();
        long batchSize = 0;
        for (JsonObject bucket : manifest.objects("buckets")) {
            JsonObject plan = bucket.object("plan");
            JsonObject batch = bucket.object("batch");
            plans.add(new BundleInfo.Plan(plan.integer("budget_bytes"), plan.integer("planned_peak_bytes"),
                    plan.integer("planned_anonymous_bytes")));
            if (!batch.flag("causal_lm")) {
                throw new BundleException("the artifact is of a plain module, which takes no text; compile a "
                        + "language model for the app");
            }
            seqLens.add(batch.integer("seq_len"));
            batchSize = batch.integer("batch_size");
        }
        if (plans.isEmpty()) {
            throw new BundleException(MANIFEST + " has no bucket; compile the artifact again");
        }
        long total = 0;
        Map<String, Object> files = manifest.object("files").map();
        for (String name : files.keySet()) {
            total += manifest.object("files").object(name).integer("bytes");
        }
        return new BundleInfo(manifest.text("model_name"), Hashes.sha256(text), plans,
                files.containsKey(TOKENIZER), total, seqLens, batchSize);
    }

    /** Everything that is quick first: a wrong name or size is met before any file is hashed. */
    private static void checkFiles(File folder, JsonObject manifest, long total, Progress progress)
            throws JsonException, IOException, BundleException {
        JsonObject files = manifest.object("files");
        if (!files.map().containsKey(manifest.text("weights_file"))) {
            throw new BundleException(MANIFEST + " of " + folder + " does not list "
                    + manifest.text("weights_file") + "; compile the artifact again");
        }
        for (String name : files.map().keySet()) {
            checkPresence(folder, name, files.object(name).integer("bytes"));
        }
        long before = 0;
        for (String name : files.map().keySet()) {
            long already = before;
            String found = Hashes.sha256(
                    new File(folder, name), bytes -> progress.hashed(already + bytes, total));
            String expected = files.object(name).text("sha256");
            if (!found.equals(expected)) {
                throw new BundleException(name + " of the artifact " + folder + " is not the file that was compiled: "
                        + "its sha256 is " + found + ", the manifest says " + expected + "; copy or compile it again");
            }
            before += files.object(name).integer("bytes");
        }
    }

    private static void checkPresence(File folder, String name, long bytes) throws IOException, BundleException {
        if (!isPlainName(name)) {
            throw new BundleException(MANIFEST + " of " + folder + " lists \"" + name
                    + "\", which is not a file directly in the folder");
        }
        File file = new File(folder, name);
        requireInside(folder, name);
        if (!file.isFile()) {
            throw new BundleException(name + " is missing from the artifact " + folder + "; copy or compile it again");
        }
        if (file.length() != bytes) {
            throw new BundleException(name + " of the artifact " + folder + " is "
                    + (file.length() < bytes ? "truncated" : "too long") + ": " + file.length() + " bytes instead of "
                    + bytes + "; copy or compile it again");
        }
    }

    private static void requireInside(File folder, String name) throws IOException, BundleException {
        File real = new File(folder, name).getCanonicalFile();
        if (!folder.getCanonicalFile().equals(real.getParentFile())) {
            throw new BundleException(
                    name + " of the artifact " + folder + " is a link to " + real + ", outside of it");
        }
    }

    private static boolean isPlainName(String name) {
        if (name.isEmpty() || name.equals(".") || name.equals("..") || name.equals(MANIFEST)) {
            return false;
        }
        return name.chars().noneMatch(c -> c < ' ' || "/\\:\"<>|?*".indexOf(c) >= 0);
    }
}
