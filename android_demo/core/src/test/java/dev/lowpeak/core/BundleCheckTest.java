package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** On a real artifact, whole and damaged. */
public class BundleCheckTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private File artifact;

    @Before
    public void copyArtifact() throws IOException {
        Prepared.copyTo(folder.getRoot());
        artifact = new File(folder.getRoot(), "artifact");
    }

    private void expect(String pattern) {
        String message = assertThrows(BundleException.class, () -> BundleCheck.check(artifact)).getMessage();
        String text = message.replace(artifact.getPath(), "ARTIFACT");
        assertTrue(text, text.matches(pattern));
    }

    private interface Change {
        void of(JsonObject manifest) throws JsonException;
    }

    private void changeManifest(Change change) throws IOException, JsonException {
        File file = new File(artifact, BundleCheck.MANIFEST);
        JsonObject manifest = Json.parseObject(Files.readText(file));
        change.of(manifest);
        Files.writeText(file, Json.write(manifest.map()));
    }

    @Test
    public void aWholeOne() throws Exception {
        List<Long> told = new ArrayList<>();
        BundleInfo info = BundleCheck.check(artifact, (bytes, of) -> told.add(bytes));
        assertEquals("tiny", info.modelName());
        assertEquals(Arrays.asList(12L), info.seqLens());
        assertEquals(1, info.batchSize());
        assertTrue(info.plannedPeakBytes() > info.plannedAnonymousBytes());
        assertFalse(info.hasTokenizer());
        assertEquals(Long.valueOf(info.totalBytes()), told.get(told.size() - 1));
        assertEquals(Hashes.sha256(new File(artifact, BundleCheck.MANIFEST)), info.id());
        assertEquals(info.id(), BundleCheck.read(artifact).id());
    }

    @Test
    public void truncatedAlteredAndMissing() throws Exception {
        File weights = new File(artifact, "weights.ptd");
        try (RandomAccessFile content = new RandomAccessFile(weights, "rw")) {
            long length = content.length();
            content.seek(0);
            int first = content.read();
            content.seek(0);
            content.write(first ^ 1);
            expect("weights.ptd of the artifact ARTIFACT is not the file that was compiled: its sha256 is [0-9a-f]{64}, "
                    + "the manifest says [0-9a-f]{64}; copy or compile it again");
            content.setLength(length - 5);
            expect("weights.ptd of the artifact ARTIFACT is truncated: " + (length - 5) + " bytes instead of " + length
                    + "; copy or compile it again");
        }
        assertTrue(weights.delete());
        expect("weights.ptd is missing from the artifact ARTIFACT; copy or compile it again");
    }

    @Test
    public void filesOutside() throws Exception {
        Path outside = folder.getRoot().toPath().resolve("outside.csv");
        Path plan = artifact.toPath().resolve("plan.csv");
        java.nio.file.Files.move(plan, outside);
        java.nio.file.Files.createSymbolicLink(plan, outside);
        expect("plan.csv of the artifact ARTIFACT is a link to .*/outside.csv, outside of it");
        changeManifest(manifest -> {
            Map<String, Object> record = new LinkedHashMap<>(manifest.object("files").object("plan.csv").map());
            manifest.object("files").map().remove("plan.csv");
            manifest.object("files").map().put("../outside.csv", record);
        });
        expect("manifest.json of ARTIFACT lists \"../outside.csv\", which is not a file directly in the folder");
    }

    @Test
    public void manifestsThatAreNone() throws Exception {
        changeManifest(manifest -> manifest.map().put("target", "onnxruntime"));
        expect("the artifact was compiled for onnxruntime; compile it again with target executorch");
        changeManifest(manifest -> manifest.map().put("schema_version", 3L));
        expect("the artifact has schema version 3, this app reads 4; compile it again .*");
        File file = new File(artifact, BundleCheck.MANIFEST);
        Files.writeText(file, "{\"schema_version\":4,\"target\":\"executorch\"}");
        expect("manifest.json of ARTIFACT: the manifest should have the field buckets; .*");
        Files.writeText(file, "{");
        expect("manifest.json of ARTIFACT: not JSON: .*");
        assertTrue(file.delete());
        expect("ARTIFACT is no artifact: it has no manifest.json");
        artifact = new File(artifact, "weights.ptd");
        expect("no artifact at ARTIFACT: it is a file");
    }
}
