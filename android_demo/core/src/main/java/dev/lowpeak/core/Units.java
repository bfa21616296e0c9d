package dev.lowpeak.core;

import java.util.Locale;

/** Numbers as the user reads them; a megabyte is 10^6 bytes, as in lowpeak's budgets. */
public final class Units {
    public static final double MEGABYTE = 1e6;

    private Units() {}

    /** "196.3 MB". */
    public static String megabytes(double bytes) {
        return format("%.1f MB", bytes / MEGABYTE);
    }

    /** Four digits: "2.031", "12.35". */
    public static String loss(double loss) {
        if (Double.isNaN(loss) || Double.isInfinite(loss)) {
            return "none";
        }
        return format(Math.abs(loss) < 10 ? "%.3f" : Math.abs(loss) < 100 ? "%.2f" : "%.1f", loss);
    }

    /** "183" or "4.7". */
    public static String perSecond(double rate) {
        return format(rate < 10 ? "%.1f" : "%.0f", rate);
    }

    /** The two largest parts: "2 h 5 min", "3 min 20 s", "12 s". */
    public static String duration(double seconds) {
        long whole = Math.round(seconds);
        if (whole < 60) {
            return whole + " s";
        }
        if (whole < 3600) {
            return pair(whole / 60, "min", whole % 60, "s");
        }
        long minutes = Math.round(seconds / 60);
        return pair(minutes / 60, "h", minutes % 60, "min");
    }

    private static String pair(long large, String unit, long small, String smallUnit) {
        return large + " " + unit + (small == 0 ? "" : " " + small + " " + smallUnit);
    }

    private static String format(String pattern, double value) {
        return String.format(Locale.ROOT, pattern, value);
    }
}
