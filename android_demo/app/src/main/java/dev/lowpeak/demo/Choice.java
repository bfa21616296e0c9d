package dev.lowpeak.demo;

import android.widget.ArrayAdapter;
import android.widget.Spinner;
import java.util.List;

/** A list of which one is chosen, by its name: it stays chosen when the list changes. */
final class Choice {
    private final Spinner spinner;

    Choice(Spinner spinner) {
        this.spinner = spinner;
    }

    void show(List<String> names) {
        String chosen = chosen();
        ArrayAdapter<String> adapter =
                new ArrayAdapter<>(spinner.getContext(), android.R.layout.simple_spinner_item, names);
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
        spinner.setAdapter(adapter);
        choose(chosen);
    }

    void choose(String name) {
        for (int i = 0; i < spinner.getCount(); i++) {
            if (spinner.getItemAtPosition(i).equals(name)) {
                spinner.setSelection(i);
            }
        }
    }

    /** Null where there is nothing to choose. */
    String chosen() {
        Object item = spinner.getSelectedItem();
        return item == null ? null : item.toString();
    }
}
