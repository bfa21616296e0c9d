package dev.lowpeak.demo;

import android.content.Intent;
import android.view.View;
import android.widget.AdapterView;
import android.widget.Spinner;
import android.widget.TextView;
import dev.lowpeak.core.BundleCheck;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.BundleInfo;
import dev.lowpeak.core.Units;
import java.io.IOException;

/** Which artifact is trained; brings new ones in. */
final class ArtifactPanel implements Panel, AdapterView.OnItemSelectedListener {
    private final MainActivity screen;
    private final Choice choice;
    private final TextView about;

    ArtifactPanel(MainActivity screen) {
        this.screen = screen;
        Spinner spinner = screen.findViewById(R.id.artifact);
        choice = new Choice(spinner);
        about = screen.findViewById(R.id.artifact_about);
        spinner.setOnItemSelectedListener(this);
        int folder = screen.onPicked(tree -> start(importer -> importer.folder(tree)));
        int zip = screen.onPicked(file -> start(importer -> importer.zip(file)));
        screen.findViewById(R.id.artifact_folder).setOnClickListener(
                view -> screen.pick(folder, new Intent(Intent.ACTION_OPEN_DOCUMENT_TREE)));
        screen.findViewById(R.id.artifact_zip).setOnClickListener(
                view -> screen.pick(zip, MainActivity.openDocument("application/zip")));
    }

    /** Null where there is none. */
    String chosen() {
        return choice.chosen();
    }

    void choose(String id) {
        choice.choose(id);
    }

    @Override
    public void reload() {
        choice.show(Storage.names(screen.session().storage().artifacts(), BundleCheck.MANIFEST));
        describe();
    }

    @Override
    public void refresh() {}

    @Override
    public void onItemSelected(AdapterView<?> list, View view, int position, long id) {
        describe();
    }

    @Override
    public void onNothingSelected(AdapterView<?> list) {
        describe();
    }

    private void describe() {
        String id = choice.chosen();
        if (id == null || !screen.isBound()) {
            about.setText(R.string.artifact_none);
            return;
        }
        try {
            BundleInfo info = BundleCheck.read(screen.session().storage().artifact(id));
            about.setText(screen.getString(R.string.artifact_about, info.modelName(), info.seqLens().toString(),
                    Units.megabytes(info.budgetBytes()), Units.megabytes(info.plannedPeakBytes()),
                    Units.megabytes(info.plannedAnonymousBytes()), Units.megabytes(info.totalBytes()),
                    screen.getString(info.hasTokenizer() ? R.string.with_tokenizer : R.string.without_tokenizer)));
        } catch (IOException | BundleException error) {
            about.setText(error.getMessage());
        }
    }

    private interface Import {
        String by(ArtifactImport importer) throws IOException, BundleException;
    }

    private void start(Import picked) {
        Session session = screen.session();
        String copying = screen.getString(R.string.copying);
        String copied = screen.getString(R.string.copied);
        ArtifactImport importer = new ArtifactImport(
                screen.getApplicationContext().getContentResolver(), session.storage(),
                (file, bytes) -> session.background().progress(
                        copying + " " + file + ": " + Units.megabytes(bytes)));
        session.background().start(copying, () -> copied + " " + picked.by(importer));
    }
}
