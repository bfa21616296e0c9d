package dev.lowpeak.demo;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.provider.OpenableColumns;
import dev.lowpeak.core.Checkpoint;
import dev.lowpeak.core.RunFolder;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;

/** A run's adapter for other apps, to read only, and only where the user shares it: content://.../RUN. */
public final class AdapterProvider extends ContentProvider {
    static final String TYPE = "application/octet-stream";

    private static final String AUTHORITY = "dev.lowpeak.demo.adapters";

    static Uri uri(String run) {
        return new Uri.Builder().scheme("content").authority(AUTHORITY).appendPath(run).build();
    }

    /** What the file is called elsewhere. */
    static String fileName(String run) {
        return run + ".safetensors";
    }

    @Override
    public boolean onCreate() {
        return true;
    }

    @Override
    public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
        if (!mode.equals("r")) {
            throw new FileNotFoundException(uri + " can be read only");
        }
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY);
    }

    @Override
    public Cursor query(Uri uri, String[] projection, String selection, String[] arguments, String order) {
        String[] columns = projection == null
                ? new String[] {OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE} : projection;
        MatrixCursor made = new MatrixCursor(columns, 1);
        File file;
        try {
            file = file(uri);
        } catch (FileNotFoundException error) {
            return made;
        }
        Object[] row = new Object[columns.length];
        for (int i = 0; i < columns.length; i++) {
            row[i] = columns[i].equals(OpenableColumns.DISPLAY_NAME) ? fileName(uri.getLastPathSegment())
                    : columns[i].equals(OpenableColumns.SIZE) ? (Object) file.length() : null;
        }
        made.addRow(row);
        return made;
    }

    @Override
    public String getType(Uri uri) {
        return TYPE;
    }

    @Override
    public Uri insert(Uri uri, ContentValues values) {
        throw new UnsupportedOperationException("adapters can be read only");
    }

    @Override
    public int delete(Uri uri, String selection, String[] arguments) {
        throw new UnsupportedOperationException("adapters can be read only");
    }

    @Override
    public int update(Uri uri, ContentValues values, String selection, String[] arguments) {
        throw new UnsupportedOperationException("adapters can be read only");
    }

    private File file(Uri uri) throws FileNotFoundException {
        try {
            Storage storage = new Storage(getContext().getFilesDir());
            Checkpoint newest = new RunFolder(storage.run(uri.getLastPathSegment())).newestCheckpoint();
            if (uri.getPathSegments().size() == 1 && newest != null) {
                return newest.file();
            }
        } catch (IOException error) {
            // No run has such a name, or none of its checkpoints is whole.
        }
        throw new FileNotFoundException(uri + " is no adapter");
    }
}
