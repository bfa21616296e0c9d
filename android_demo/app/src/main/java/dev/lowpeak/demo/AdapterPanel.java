package dev.lowpeak.demo;

import android.content.ClipData;
import android.content.ContentResolver;
import android.content.Intent;
import android.net.Uri;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.Metrics;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;

/** Takes the adapter out of the app, and shows recorded metrics. */
final class AdapterPanel implements Panel {
    private final MainActivity screen;
    private final TrainPanel runs;

    AdapterPanel(MainActivity screen, TrainPanel runs) {
        this.screen = screen;
        this.runs = runs;
        int target = screen.onPicked(this::saveTo);
        int metrics = screen.onPicked(this::replayFile);
        screen.findViewById(R.id.save).setOnClickListener(view -> save(target));
        screen.findViewById(R.id.share).setOnClickListener(view -> share());
        screen.findViewById(R.id.replay).setOnClickListener(view -> replay());
        screen.findViewById(R.id.replay_file).setOnClickListener(
                view -> screen.pick(metrics, MainActivity.openDocument("*/*")));
    }

    @Override
    public void refresh() {}

    private void save(int target) {
        Run run = trained();
        if (run != null) {
            screen.pick(target, new Intent(Intent.ACTION_CREATE_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE)
                    .setType(AdapterProvider.TYPE)
                    .putExtra(Intent.EXTRA_TITLE, AdapterProvider.fileName(run.name())));
        }
    }

    private void saveTo(Uri target) {
        Run run = trained();
        if (run == null) {
            return;
        }
        ContentResolver resolver = screen.getApplicationContext().getContentResolver();
        String saving = screen.getString(R.string.saving);
        String saved = screen.getString(R.string.saved);
        screen.session().background().start(saving, () -> {
            try (OutputStream stream = resolver.openOutputStream(target, "wt")) {
                if (stream == null) {
                    throw new IOException(target + " cannot be written");
                }
                Files.copy(run.folder().newestCheckpoint().file().toPath(), stream);
            }
            return saved;
        });
    }

    private void share() {
        Run run = trained();
        if (run == null) {
            return;
        }
        Uri uri = AdapterProvider.uri(run.name());
        Intent intent = new Intent(Intent.ACTION_SEND).setType(AdapterProvider.TYPE)
                .putExtra(Intent.EXTRA_STREAM, uri).addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
        // The grant goes with the clip through the chooser.
        intent.setClipData(ClipData.newRawUri(run.name(), uri));
        screen.startActivity(Intent.createChooser(intent, screen.getString(R.string.share)));
    }

    private void replay() {
        Run run = opened();
        if (run == null) {
            return;
        }
        try {
            screen.replay(Metrics.read(run.folder().metrics()));
        } catch (IOException error) {
            screen.tell(error.getMessage());
        }
    }

    private void replayFile(Uri from) {
        ContentResolver resolver = screen.getApplicationContext().getContentResolver();
        try {
            File copy = File.createTempFile("metrics", null, screen.getCacheDir());
            try (InputStream stream = resolver.openInputStream(from)) {
                if (stream == null) {
                    throw new IOException(from + " cannot be read");
                }
                Files.copy(stream, copy.toPath(), StandardCopyOption.REPLACE_EXISTING);
                screen.replay(Metrics.read(copy));
            } finally {
                copy.delete();
            }
        } catch (IOException | SecurityException error) {
            screen.tell(error.getMessage());
        }
    }

    private Run trained() {
        Run run = opened();
        if (run != null && !run.folder().hasCheckpoint()) {
            screen.tell(screen.getString(R.string.adapter_none));
            return null;
        }
        return run;
    }

    private Run opened() {
        try {
            Run run = runs.chosen();
            if (run == null) {
                screen.tell(screen.getString(R.string.run_none));
            }
            return run;
        } catch (IOException | BundleException error) {
            screen.tell(error.getMessage());
            return null;
        }
    }
}
