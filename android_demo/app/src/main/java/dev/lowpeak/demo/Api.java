package dev.lowpeak.demo;

import android.os.Build;

/** Which version of Android this is; what is newer than the app's minimum is called in the classes Api29, ... only. */
final class Api {
    private Api() {}

    static boolean has(int level) {
        return Build.VERSION.SDK_INT >= level;
    }
}
