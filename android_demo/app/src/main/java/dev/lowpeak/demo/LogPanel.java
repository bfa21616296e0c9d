package dev.lowpeak.demo;

import android.widget.TextView;

/** What happened, the newest first. */
final class LogPanel implements Panel {
    private final MainActivity screen;
    private final TextView log;

    LogPanel(MainActivity screen) {
        this.screen = screen;
        log = screen.findViewById(R.id.log);
    }

    @Override
    public void refresh() {
        String text = screen.session().log().text();
        if (!text.contentEquals(log.getText())) {
            log.setText(text);
        }
    }
}
